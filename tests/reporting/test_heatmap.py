from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pipeline.reporting import heatmap

NAMES = ["cat", "dog"]


def drawn(counts: NDArray[np.int64], names: list[str], top: int) -> tuple[list[str], list[str], list[str]]:
    """Return the texts of cells, of the class axis and of the client axis."""
    axes = Figure().add_subplot()
    heatmap.draw(axes, counts, names, "title", top)
    ticks = [[label.get_text() for label in axis.get_ticklabels()] for axis in (axes.xaxis, axes.yaxis)]
    return [text.get_text() for text in axes.texts], ticks[0], ticks[1]


def test_pictures_are_equal_for_equal_counts_and_differ_otherwise(tmp_path: Path) -> None:
    for name, counts in (("a", [[1, 0], [3, 9]]), ("b", [[1, 0], [3, 9]]), ("c", [[9, 0], [3, 1]])):
        heatmap.save(tmp_path / name, np.array(counts), NAMES, "real")
    first, same, other = ((tmp_path / name).read_bytes() for name in "abc")
    assert first == same != other
    assert first.startswith(b"\x89PNG")


def test_each_count_is_printed_with_its_client_and_class() -> None:
    assert drawn(np.array([[1, 0], [3, 9]]), NAMES, 9) == (["1", "0", "3", "9"], NAMES, ["0", "1"])


def test_numbers_are_legible_on_dark_cells_and_zeros_faint() -> None:
    """Above 60 % of the top count the number is white."""
    axes = Figure().add_subplot()
    heatmap.draw(axes, np.array([[0, 6, 7]]), ["a", "b", "c"], "title", 10)
    assert [text.get_color() for text in axes.texts] == ["#888888", "black", "white"]


def test_more_than_400_cells_or_30_clients_are_drawn_without_their_texts() -> None:
    texts, classes, clients = drawn(np.ones((201, 2), np.int64), NAMES, 1)
    assert (texts, classes) == ([], NAMES)
    assert clients != [str(client) for client in range(201)]


STRANGE = ["$x_$", "a$b", "^_{", "\\\\frac{1}", "two\nlines", "\x1b[31m", "", "x" * 300, "鳥", "x" * 299 + "y", "مرحبا"]
"""Formulas, line ends, escapes, no text, too much of it, letters that the font lacks."""


def test_every_name_can_be_drawn(tmp_path: Path) -> None:
    """Warnings fail a test, so no letter and no layout is complained about."""
    counts = np.ones((len(STRANGE), len(STRANGE)), np.int64)
    heatmap.save(tmp_path / "strange.png", counts, STRANGE, "$title_$", STRANGE)
    assert (tmp_path / "strange.png").stat().st_size > 0


def test_names_are_short_and_those_that_are_not_told_apart_have_their_number() -> None:
    long = heatmap.shown(["cat", "x" * 300, "x" * 299 + "y", "鳥"])
    assert long[0] == "cat"
    assert [name[:3] for name in long[1:]] == ["1: ", "2: ", "3: "]
    assert max(map(len, long)) <= 20


def test_a_users_matplotlibrc_brings_no_latex(tmp_path: Path) -> None:
    import matplotlib as mpl

    with mpl.rc_context({"text.usetex": True}):
        heatmap.save(tmp_path / "a.png", np.ones((1, 1), np.int64), ["a_b"], "real")
    heatmap.save(tmp_path / "b.png", np.ones((1, 1), np.int64), ["a_b"], "real")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_clients_are_called_what_the_user_calls_them() -> None:
    axes = Figure().add_subplot()
    heatmap.draw(axes, np.ones((2, 2), np.int64), NAMES, "title", 1, ["ann", "w2"])
    assert [label.get_text() for label in axes.yaxis.get_ticklabels()] == ["ann", "w2"]


def test_no_images_at_all_can_be_drawn(tmp_path: Path) -> None:
    """The scale would end at 0, which no colour map can divide by."""
    heatmap.save(tmp_path / "empty.png", np.zeros((2, 2), np.int64), NAMES, "real")
    assert (tmp_path / "empty.png").stat().st_size > 0
