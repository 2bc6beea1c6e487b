import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from markupsafe import Markup

from pipeline.reporting import page
from pipeline.reporting.page import (
    Charts,
    Folded,
    Items,
    Page,
    Picture,
    Section,
    Settings,
    Sheet,
    Sheets,
    Shown,
    Strip,
    Text,
    Verdict,
)
from pipeline.reporting.tables import Table

FIGURE = Markup('<svg xmlns="http://www.w3.org/2000/svg"><title>{}</title></svg>')
PNG = "data:image/png;base64,AAAA"
RESULTS = Table(
    "fedavg",
    ("fill", "equal epochs", "equal steps"),
    (("none", "60.1", "72.2"), ("mine", "84.5", "-"), ("mine - none", "+24.4", "+12.3")),
    differences=1,
)
EXAMPLE = Page(
    title="gen-fedsd report",
    heading="Does it help?",
    verdict=Verdict("The fill mine changes little.", False, ["One partition."], [("+6.1", "points"), ("3", "seeds")]),
    remarks=("one seed only",),
    sections=[
        Section("Results", [Charts([FIGURE.format(name) for name in ("one", "two")]), Text("A note."), Shown(RESULTS)]),
        Section("Fills", [Items({"none": "Real images only.", "mine": "What <I> make & mix."})]),
        Section(
            "Images",
            [
                Sheets([
                    Sheet("bag", [Strip("real", PNG, 8, 28), Strip("refused", "", 0, 0)], "bad", "low diversity"),
                    Sheet("coat", [Strip("real", PNG, 1, 56)]),
                ])
            ],
        ),
        Section("Copies", [Folded("Pairs", [Picture(PNG, 300, "flagged pairs")])]),
        Section("What was run", [Settings({"model": "a model", "seeds": "1, 2, 3"})]),
    ],
)  # fmt: skip


class Parsed(HTMLParser):
    """A page's tables, headings and texts; checks on the way that every element is closed in order."""

    EMPTY = ("meta", "img", "br")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tables: list[list[list[str]]] = []
        self.captions: list[str] = []
        self.classes: list[list[str]] = []
        """The class of each row, by table."""
        self.headings: list[str] = []
        self.items: list[str] = []
        self.titles: list[str] = []
        """Of the page and of figures."""
        self.images: list[dict[str, str | None]] = []
        self.elements: list[str] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.elements.append(tag)
        if tag == "img":
            self.images.append(found)
        if tag in self.EMPTY:
            return
        self._open.append(tag)
        if tag == "table":
            self.tables.append([])
            self.classes.append([])
        elif tag == "tr":
            self.tables[-1].append([])
            self.classes[-1].append(found.get("class") or "")
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
        for texts in self._texts(tag):
            texts.append("")

    def _texts(self, tag: str) -> list[list[str]]:
        kinds = {"h2": self.headings, "li": self.items, "title": self.titles, "caption": self.captions}
        return [kinds[tag]] if tag in kinds else []

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        inside = set(self._open)
        if inside & {"td", "th"}:
            self.tables[-1][-1][-1] += data
        for tag in ("h2", "li", "title", "caption"):
            for texts in self._texts(tag) if tag in inside else []:
                texts[-1] += data
        if not inside & {"style", "script", "table", "svg"}:
            self.text += data


def parsed(shown: Page) -> Parsed:
    return Parsed(page.render(shown))


def test_the_verdict_comes_first_then_remarks_and_sections_in_order() -> None:
    found = parsed(EXAMPLE)
    assert found.headings == ["Results", "Fills", "Images", "Copies", "What was run"]
    text = " ".join(found.text.split())
    assert text.startswith(
        "gen-fedsd report Does it help? The fill mine changes little. One partition. +6.1 points 3 seeds one seed only "
    )


@pytest.mark.parametrize(("clear", "kind"), [(True, "verdict clear"), (False, "verdict open")])
def test_a_verdict_looks_clear_only_if_it_is(clear: bool, kind: str) -> None:
    text = page.render(replace(EXAMPLE, verdict=Verdict("It helps.", clear)))
    assert re.findall(r'<div class="(verdict \w+)"', text) == [kind]


def test_every_table_is_on_the_page_cell_by_cell() -> None:
    found = parsed(EXAMPLE)
    assert found.tables == [
        [
            ["fill", "equal epochs", "equal steps"],
            ["none", "60.1", "72.2"],
            ["mine", "84.5", "-"],
            ["mine - none", "+24.4", "+12.3"],
        ],
        [["model", "a model"], ["seeds", "1, 2, 3"]],
    ]
    assert found.captions == ["fedavg"]


def test_differences_are_set_apart_and_a_fill_whose_name_has_a_dash_is_not() -> None:
    """Which rows are differences is said by the table, not read from the names."""
    assert parsed(EXAMPLE).classes[0] == ["", "", "", "difference"]
    odd = Table("fedavg", ("fill", "equal steps"), (("a - b", "50.0"),))
    assert parsed(replace(EXAMPLE, sections=[Section("", [Shown(odd)])])).classes[0] == ["", ""]


def test_cells_may_be_bold() -> None:
    table = Table("", ("a",), ((Markup("<b>+1.0</b>"),), ("<b>no</b>",)))
    text = page.render(replace(EXAMPLE, sections=[Section("", [Shown(table)])]))
    assert "<b>+1.0</b>" in text
    assert "&lt;b&gt;no&lt;/b&gt;" in text


def test_charts_and_pictures_are_inside_the_page_and_have_texts() -> None:
    found = parsed(EXAMPLE)
    assert found.titles == ["gen-fedsd report", "one", "two"]
    assert [(one["src"], one["alt"], one["width"]) for one in found.images] == [
        (PNG, "8 images of bag: real", "224"),
        (PNG, "1 images of coat: real", "56"),
        (PNG, "flagged pairs", "300"),
    ]
    assert "bad: low diversity" in found.text


def test_the_page_loads_nothing_from_elsewhere_and_runs_its_own_script_only() -> None:
    text = page.render(EXAMPLE).replace("http://www.w3.org/2000/svg", "")
    assert "http" not in text.replace("http-equiv", "")
    assert "url(" not in text
    assert text.count("<script") == 1
    assert "default-src &#39;none&#39;" in text


def test_equal_contents_give_an_equal_page() -> None:
    assert page.render(EXAMPLE) == page.render(replace(EXAMPLE))


def test_texts_are_escaped_and_no_mark_turns_the_reading_direction_around() -> None:
    found = parsed(EXAMPLE)
    assert found.items == [
        "+6.1 points",
        "3 seeds",
        "one seed only",
        "none: Real images only.",
        "mine: What <I> make & mix.",
    ]
    text = page.render(replace(EXAMPLE, sections=[Section("\u202ename", [Text("a\u2066b")])]))
    assert "\\u202ename" in text
    assert "a\\u2066b" in text


def test_what_there_is_not_leaves_no_trace() -> None:
    text = page.render(replace(EXAMPLE, verdict=Verdict("No verdict."), remarks=(), sections=[]))
    for word in ('class="remarks"', 'class="facts"', "<h2>", "<table", "<details"):
        assert word not in text
