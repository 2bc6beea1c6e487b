"""Class names of strangers on their way through the real writers: artifacts, page, figures, contact sheet, terminal."""

import tempfile
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markupsafe import Markup
from PIL import Image

from pipeline import printable
from pipeline.artifacts import deficits, history, partition
from pipeline.artifacts.deficits import Deficits
from pipeline.artifacts.partition import Partition, Source
from pipeline.cli import report as report_command
from pipeline.commands.results import Results
from pipeline.reporting import contact_sheet, page
from pipeline.reporting.charts import cells, lines, rows
from pipeline.reporting.charts.lines import Line, Point
from pipeline.reporting.charts.rows import Row
from pipeline.reporting.page import Page, Part, Section, Settings, Sheet, Sheets, Shown, Strip
from pipeline.reporting.tables import Table
from tests.hub.test_escapes import MARKUP
from tests.reporting.test_page import EXAMPLE, parsed
from tests.test_printable import ATTACKS, FORMULAS, is_harmless

UTF8 = st.text(st.characters(codec="utf-8"))
ODD = (
    "",
    " ",
    "a,b;c|d",
    'say "a"',
    "it's",
    "null",
    "007",
    "=HYPERLINK(1)",
    "'=1",
    "$x_$",
    "$x$ \\frac",
    "a\nb\r\nc",
    "שלום עולם",
    "衣服",
    "x" * 10_000,
    "../../etc/passwd",
    "\\",
    "<script>alert(1)</script>",
    "</svg><script>",
    "-->",
    *MARKUP,
    *(text for text in ATTACKS if "\udce9" not in text),
)
NAMES = st.lists(UTF8 | FORMULAS | st.sampled_from(ODD), min_size=1, max_size=5, unique=True).map(tuple)


def counts(names: tuple[str, ...]) -> Deficits:
    one = np.ones((2, len(names)), np.int64)
    return Deficits(one, one * 2, one, one * 0, names)


@settings(max_examples=settings().max_examples // 5)
@given(NAMES)
@example(ODD)
def test_stages_hand_on_the_very_same_names(names: tuple[str, ...]) -> None:
    labels = np.arange(len(names), dtype=np.int32)
    source = Source("array", len(names))
    made = Partition(labels.astype(np.int64), labels * 0, labels, names, 1, 16, "0", source, (0.5,) * 3, (0.2,) * 3)
    with tempfile.TemporaryDirectory() as folder:
        made.save(Path(folder, "partition.parquet"))
        assert partition.load(Path(folder, "partition.parquet")).class_names == names
        counts(names).save(Path(folder, "deficits.csv"))
        assert deficits.load(Path(folder, "deficits.csv")).class_names == names
        history.save(Path(folder), [], names, np.ones((1, len(names)), np.int64))
        assert history.load_clients(Path(folder)) == {}


def test_names_with_line_ends_are_read_where_blocks_of_the_file_end(tmp_path: Path) -> None:
    """More than a megabyte, the size of a block, of which most are line ends."""
    names = tuple(f'{i}\n"x' + "\n" * 200 for i in range(3_000))
    counts(names).save(tmp_path / "deficits.csv")
    assert (tmp_path / "deficits.csv").stat().st_size > 2**20
    assert deficits.load(tmp_path / "deficits.csv").class_names == names


@settings(max_examples=settings().max_examples // 7)
@given(NAMES, UTF8)
@example(ODD, "</ul><script>")
def test_the_page_shows_names_as_text(names: tuple[str, ...], remark: str) -> None:
    """No tag comes from a name: the same elements as with plain names, whose texts are the names."""

    def made(names: tuple[str, ...], remark: str) -> Page:
        rows = tuple((name, "1.0") for name in names)
        parts: list[Part] = [Shown(Table("fedavg", ("class", "none"), rows)), Settings(dict(rows))]
        parts.append(Sheets([Sheet(name, [Strip("real", "data:,", 1, 1)]) for name in names]))
        return replace(EXAMPLE, remarks=(remark,), sections=[Section("", parts)])

    text, found = page.render(made(names, remark)), parsed(made(names, remark))
    shown = [printable.escaped(name) for name in names]
    assert found.tables == [[["class", "none"], *([name, "1.0"] for name in shown)], [[name, "1.0"] for name in shown]]
    assert found.items[-1] == printable.escaped(remark)
    assert [one["alt"] for one in found.images] == [f"1 images of {name}: real" for name in shown]
    assert found.elements == parsed(made(tuple(str(i) for i in range(len(names))), "a")).elements
    assert all(map(is_harmless, text.split("\n")))


@settings(max_examples=settings().max_examples // 5)
@given(NAMES)
@example(ODD)
def test_charts_show_names_as_text(names: tuple[str, ...]) -> None:
    """The same elements as with plain names; a pointer reads each name as one line."""

    def made(names: tuple[str, ...]) -> list[Markup]:
        held = counts(names).have
        points = [Line(name, place, [Point(0, 1.0), Point(1, 2.0)]) for place, name in enumerate(names)]
        return [
            cells.draw(held, names, names[:2] if len(names) > 1 else [names[0]] * 2, "t", 2),
            rows.draw([Row(name, 1.0, "1") for name in names], f"of {names[0]}", unit="u"),
            lines.draw(points, f"of {names[0]}", across="x", up="y", names=["a", names[-1]]),
        ]

    for chart, plain in zip(made(names), made(tuple(str(i) for i in range(len(names)))), strict=True):
        root = ElementTree.fromstring(str(chart))
        kinds = [element.tag for element in root.iter()]
        assert set(kinds) == {element.tag for element in ElementTree.fromstring(str(plain)).iter()}
        assert all(map(is_harmless, str(chart).split("\n")))
    tips = [element.get("data-tip") for element in ElementTree.fromstring(str(made(names)[1])).iter()]
    assert [tip for tip in tips if tip] == [f"{printable.line(name)}: 1" for name in names]


@settings(max_examples=settings().max_examples // 3)
@given(NAMES)
@example(ODD)
def test_a_contact_sheet_has_a_row_for_each_class(names: tuple[str, ...]) -> None:
    picture = Image.new("RGB", (16, 16))
    drawn = contact_sheet.draw({name: [[picture]] for name in names}, ["real"])
    assert drawn.height == contact_sheet.draw({str(i): [[picture]] for i in range(len(names))}, ["real"]).height


@given(NAMES)
@example(ODD)
def test_the_terminal_gets_a_line_for_each_row(names: tuple[str, ...]) -> None:
    table = Table(names[0], ("class", *names), (("none", *names),))
    lines = report_command.results_text(
        Results("", f"first {names[0]}", (table,), (), names, Path("report.html"))
    ).split("\n")
    assert all(map(is_harmless, lines))
    assert len(lines) == 2 + 1 + 1 + 3 + 1 + len(names) + 1 + 1
