"""Class names of strangers on their way through the real writers: artifacts, page, figures, contact sheet, terminal."""

import re
import tempfile
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from pipeline import printable
from pipeline.artifacts import deficits, history, partition
from pipeline.artifacts.deficits import Deficits
from pipeline.artifacts.partition import Partition, Source
from pipeline.cli import report as report_command
from pipeline.commands.results import Results
from pipeline.reporting import contact_sheet, figures, page
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
    return Deficits(one, one * 2, one, names)


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
    rows = tuple((name, "1.0") for name in names)
    table = Table("fedavg", ("class", "none"), rows)
    text = page.render(replace(EXAMPLE, by_class=(table,), remarks=(remark,), settings=dict(rows)))
    found = parsed(replace(EXAMPLE, by_class=(table,), remarks=(remark,), settings=dict(rows)))
    shown = [printable.escaped(name) for name in names]
    assert found.tables[2] == [["class", "none"], *([name, "1.0"] for name in shown)]
    assert found.tables[-2] == [[name, "1.0"] for name in shown]
    assert found.items[0] == printable.escaped(remark)
    assert "<script" not in text
    assert all(map(is_harmless, text.split("\n")))


@pytest.mark.filterwarnings("ignore:Glyph .* missing from font")
@pytest.mark.parametrize("start", range(0, len(ODD), 12))
def test_figures_show_names_as_text(start: int) -> None:
    names = ODD[start : start + 12]
    shown = [text for name in names if (text := printable.short(name, 17))]
    for figure in figures.heat_maps(counts(names).have, counts(names).want, names):
        root = ElementTree.fromstring(figure)
        kinds = {element.tag.rpartition("}")[2] for element in root.iter()}
        assert kinds <= {"svg", "defs", "style", "g", "path", "use", "text", "clipPath", "rect", "image", "metadata"}
        texts = [element.text or "" for element in root.iter() if element.tag.endswith("}text")]
        # A number is in front of what the font cannot draw, and of names that are cut to the same text.
        drawn = [re.sub(r"^\d+: ", "", text) for text in texts]
        assert list(filter(None, drawn))[: len(shown)] == shown


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
