from dataclasses import fields, replace
from html.parser import HTMLParser

import pytest

from pipeline.reporting import page
from pipeline.reporting.page import Page
from pipeline.reporting.tables import Table

FIGURE = '<svg xmlns="http://www.w3.org/2000/svg"><title>{}</title></svg>'
EXAMPLE = Page(
    clients=10,
    classes=3,
    scheme="2 classes a client",
    headline="The fill mine changes little.",
    remarks=("one seed only",),
    results=(
        Table(
            "fedavg",
            ("fill", "equal epochs", "equal steps"),
            (("none", "60.1 ± 3.3", "72.2 ± 2.7"), ("mine", "84.5", "-"), ("mine - none", "+24.4", "+12.3")),
            differences=1,
        ),
    ),
    test_images="10,000",
    seeds="3 paired seeds",
    local_work="passes once over what it has in a round",
    fills={"none": "Real images only.", "mine": "What <I> make & mix."},
    references={"central-real": ("81.8 ± 2.0", "All clients' real images.")},
    central_steps="2,000",
    curves=((FIGURE.format("epochs"), FIGURE.format("steps")),),
    over_clients=Table(
        "", ("algorithm", "fill", "budget", "least"), (("fedavg", "none", "equal epochs", "15.7"),)
    ),
    by_class=(Table("fedavg, equal epochs", ("class", "none"), (("t-shirt", "63.9"), ("bag", "80.7"))),),
    costs=Table("", ("algorithm", "fill", "budget", "rounds"), (("fedavg", "none", "equal epochs", "-"),)),
    weight_bytes="248,024",
    shard_megabytes="11.5",
    images=Table("", ("fill", "real images", "added images"), (("none", "2,000", "0"), ("mine", "2,000", "9,000"))),
    maps=(FIGURE.format("before"), FIGURE.format("after")),
    skew=Table("", ("fill", "Hellinger"), (("none", "0.72 (0.05)"),)),
    sheet="data:image/png;base64,AAAA",
    settings={"model": "a model", "seeds": "1, 2, 3"},
    times={"generate": "61 s"},
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
        """Of figures."""
        self.images: list[str] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if tag == "img":
            self.images.append(found["src"] or "")
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
        for name, texts in (
            ("h2", self.headings),
            ("li", self.items),
            ("title", self.titles),
            ("caption", self.captions),
        ):
            if tag == name:
                texts.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        inside = set(self._open)
        if inside & {"td", "th"}:
            self.tables[-1][-1][-1] += data
        for name, texts in (
            ("h2", self.headings),
            ("li", self.items),
            ("title", self.titles),
            ("caption", self.captions),
        ):
            if name in inside:
                texts[-1] += data
        if not inside & {"style", "table", "svg"}:
            self.text += data


def parsed(shown: Page) -> Parsed:
    return Parsed(page.render(shown))


def test_the_page_has_these_sections_in_this_order() -> None:
    assert parsed(EXAMPLE).headings == [
        "Accuracy",
        "Accuracy over rounds",
        "Accuracy over clients and by class",
        "Bytes moved until the target accuracy",
        "Who holds what",
        "Real beside synthetic",
        "What was run",
        "Wall time",
    ]


def test_every_table_is_on_the_page_cell_by_cell() -> None:
    found = parsed(EXAMPLE)
    assert found.tables == [
        [
            ["fill", "equal epochs", "equal steps"],
            ["none", "60.1 ± 3.3", "72.2 ± 2.7"],
            ["mine", "84.5", "-"],
            ["mine - none", "+24.4", "+12.3"],
        ],
        [["algorithm", "fill", "budget", "least"], ["fedavg", "none", "equal epochs", "15.7"]],
        [["class", "none"], ["t-shirt", "63.9"], ["bag", "80.7"]],
        [["algorithm", "fill", "budget", "rounds"], ["fedavg", "none", "equal epochs", "-"]],
        [["fill", "real images", "added images"], ["none", "2,000", "0"], ["mine", "2,000", "9,000"]],
        [["fill", "Hellinger"], ["none", "0.72 (0.05)"]],
        [["model", "a model"], ["seeds", "1, 2, 3"]],
        [["generate", "61 s"]],
    ]
    assert found.captions == ["fedavg", "fedavg, equal epochs"]


def test_differences_are_set_apart_and_a_fill_whose_name_has_a_dash_is_not() -> None:
    """Which rows are differences is said by the table, not read from the names."""
    assert parsed(EXAMPLE).classes[0] == ["", "", "", "difference"]
    odd = Table("fedavg", ("fill", "equal steps"), (("a - b", "50.0"),))
    assert parsed(replace(EXAMPLE, results=(odd,))).classes[0] == ["", ""]


def test_figures_and_the_sheet_are_inside_the_page() -> None:
    found = parsed(EXAMPLE)
    assert found.titles == ["gen-fedsd report", "epochs", "steps", "before", "after"]
    assert found.images == ["data:image/png;base64,AAAA"]


def test_the_page_loads_nothing_from_elsewhere() -> None:
    text = page.render(EXAMPLE).replace("http://www.w3.org/2000/svg", "")
    assert "http" not in text
    assert "<script" not in text
    assert "url(" not in text


def test_fills_and_references_are_described_in_their_own_words_and_escaped() -> None:
    found = parsed(EXAMPLE)
    assert found.items == [
        "one seed only",
        "none: Real images only.",
        "mine: What <I> make & mix.",
        "central-real reaches 81.8 ± 2.0: All clients' real images.",
    ]
    assert "What &lt;I&gt; make &amp; mix." in page.render(EXAMPLE)


def test_the_text_names_no_fill() -> None:
    """What a fill is comes from its own file; the words left here are about images, not about a fill's name."""
    text = parsed(replace(EXAMPLE, fills={}, references={}, results=(), remarks=())).text
    for name in ("transforms", "oversample", "synthetic fill", "central-"):
        assert name not in text


def test_headline_remarks_and_references_leave_no_trace_where_there_are_none() -> None:
    found = parsed(replace(EXAMPLE, headline="", remarks=(), references={}))
    assert "The fill mine" not in found.text
    assert "Central references" not in found.text
    assert len(found.items) == 2
    assert 'class="remarks"' not in page.render(replace(EXAMPLE, remarks=()))


def test_without_accuracies_by_class_the_page_says_so() -> None:
    found = parsed(replace(EXAMPLE, over_clients=Table("", ("algorithm",), ()), by_class=()))
    assert "No run measured accuracy by class." in found.text
    assert len(found.tables) == 6


def test_work_and_numbers_are_in_the_sentences() -> None:
    text = " ".join(parsed(EXAMPLE).text.split())
    assert "Does filling the missing classes help? 10 clients, 3 classes, 2 classes a client" in text
    assert "Percent of the 10,000 test images that the global model recognises, mean over 3 paired seeds" in text
    assert "each client passes once over what it has in a round" in text
    assert "as many local steps with every fill as if every deficit were filled" in text
    assert "with 2,000 SGD steps" in text
    assert "248,024 bytes to one client in one round" in text
    assert "11.5 MB of shards in all" in text


@pytest.mark.parametrize("name", [field.name for field in fields(Page)])
def test_a_value_that_the_template_names_is_never_missing(name: str) -> None:
    """Each field is used: without it the template has nothing to put in its place, and says so."""
    values = {field.name: getattr(EXAMPLE, field.name) for field in fields(Page) if field.name != name}

    class Lacking:
        def __init__(self) -> None:
            vars(self).update(values)

    with pytest.raises(Exception, match=f"'{name}' is undefined"):
        page.render(Lacking())  # type: ignore[arg-type]
