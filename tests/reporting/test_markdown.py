"""A page as Markdown: what it says and all its tables, and nothing of it is markup by accident."""

import re
from dataclasses import replace

from markdown_it import MarkdownIt
from markupsafe import Markup

from pipeline.reporting import markdown
from pipeline.reporting.page import Charts, Folded, Items, Page, Section, Settings, Shown, Text, Verdict
from pipeline.reporting.tables import Table

PAGE = Page(
    title="t",
    heading="heterogeneity: how much?",
    verdict=Verdict("synthetic beats the best control by +8.7 points.", True, ["More."], [("6", "partitions")]),
    remarks=["2 runs are left out"],
    sections=[
        Section("Gain", [Charts([Markup("<svg/>")]), Folded("At equal epochs", [Charts([Markup("<svg/>")])])]),
        Section(
            "Differences",
            [
                Text("Bold is clear."),
                Items({"kind": "what it is"}),
                Shown(Table("", ("alpha", "points"), (("0.1", Markup("<b>+8.7</b>")), ("a | b", "-"))), 1),
                Folded("Others", [Shown(Table("of others", ("a", "b"), (("1", "2"),)))]),
                Settings({"command": "gen-fedsd sweep run x"}),
            ],
        ),
    ],
)


def test_a_page_becomes_headings_tables_and_links_to_its_charts() -> None:
    """Columns of numbers are set to the right; charts that are folded need no second link."""
    assert (
        markdown.render(PAGE, "sweep.html")
        == """\
# heterogeneity: how much?

**synthetic beats the best control by +8.7 points.**

More.

* 6 partitions

What to know before the numbers are used:

* 2 runs are left out

## Gain

*Charts and pictures: [sweep.html](sweep.html), which a browser opens without a connection.*

## Differences

Bold is clear.

* kind: what it is

| alpha | points |
| --- | ---: |
| 0.1 | <b>+8.7</b> |
| a \\| b | - |

<details>
<summary>Others</summary>

of others:

| a | b |
| --- | ---: |
| 1 | 2 |

</details>

| | |
| --- | --- |
| command | gen-fedsd sweep run x |
"""
    )


def test_text_of_strangers_is_no_markup() -> None:
    bad = "<script>alert(1)</script> [a](http://b) `c`\n# d"
    table = Table(bad, (bad, "b"), ((bad, Markup("1|2")),))
    found = markdown.render(replace(PAGE, heading=bad, sections=[Section(bad, [Text(bad), Shown(table)])]), "p.html")
    shown = MarkdownIt("commonmark", {"html": True}).enable("table").render(found)
    assert "<script" not in shown
    assert "<code" not in shown
    assert re.findall(r'href="([^"]*)"', shown) == []
    assert shown.count("<h1>") == 1
    assert shown.count("<tr>") == 2
    assert "<td>1|2</td>" in shown.replace(' style="text-align:right"', "")
