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


def test_no_images_at_all_can_be_drawn(tmp_path: Path) -> None:
    """The scale would end at 0, which no colour map can divide by."""
    heatmap.save(tmp_path / "empty.png", np.zeros((2, 2), np.int64), NAMES, "real")
    assert (tmp_path / "empty.png").stat().st_size > 0
