"""A page as Markdown: what it says and all its tables, and nothing of it is markup by accident."""

import re
from dataclasses import replace
from xml.etree import ElementTree

from markdown_it import MarkdownIt
from markupsafe import Markup

from pipeline.reporting import markdown
from pipeline.reporting.charts import lines
from pipeline.reporting.charts.lines import Line, Point
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
        markdown.render(PAGE, "sweep.html")[0]
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
    found, _ = markdown.render(replace(PAGE, heading=bad, sections=[Section(bad, [Text(bad), Shown(table)])]), "p.html")
    shown = MarkdownIt("commonmark", {"html": True}).enable("table").render(found)
    assert "<script" not in shown
    assert "<code" not in shown
    assert re.findall(r'href="([^"]*)"', shown) == []
    assert shown.count("<h1>") == 1
    assert shown.count("<tr>") == 2
    assert "<td>1|2</td>" in shown.replace(' style="text-align:right"', "")


def test_line_charts_become_pictures_with_titles_and_legends() -> None:
    """Two charts side by side are one file; the strips that a pointer reads on a page are not in it."""
    strange = "</text><script>"
    made = [Line("none", 0, [Point(0, 1.0), Point(1, 2.0)]), Line(strange, 1, [Point(0, 3.0, 2.0, 4.0)])]
    charts = [lines.draw(made, title, across="round", up="percent") for title in ("first", "second")]
    text, pictures = markdown.render(replace(PAGE, sections=[Section("Gain", [Charts(charts)])]), "p.html")
    assert "](chart-1.svg)" in text
    assert list(pictures) == ["chart-1.svg"]
    root = ElementTree.fromstring(pictures["chart-1.svg"])
    shown = [one.text for one in root.iter("{http://www.w3.org/2000/svg}text")]
    assert [one for one in shown if one in ("first", "second", "percent", "none", strange)] == [
        "first", "percent", "none", strange, "second", "percent", "none", strange,
    ]  # fmt: skip
    assert not any("data-tip" in one.attrib for one in root.iter())
    left, right = (one.attrib["transform"] for one in root.findall("{http://www.w3.org/2000/svg}g"))
    assert (left, right) == ("translate(14 14)", "translate(402 14)")
