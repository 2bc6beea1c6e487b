"""Client x label heat maps."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pipeline import atomic, printable

_MOST_LETTERS = 17  # of a class name; the names of a small figure leave no room for it else
_MOST_NUMBERS = 400  # cells in which the count is still printed


def draw(axes: Axes, counts: NDArray[np.int64], class_names: Sequence[str], title: str, top: int) -> None:
    """Draw ``counts`` (clients, classes) into ``axes``; the darkest colour stands for ``top`` images."""
    clients, classes = counts.shape
    axes.imshow(counts, cmap="Blues", vmin=0, vmax=max(top, 1), aspect="auto", interpolation="nearest")
    axes.set_title(title, fontsize=10)
    axes.set_ylabel("client")
    if classes <= 30:
        names = [printable.short(name, _MOST_LETTERS) for name in class_names]
        axes.set_xticks(range(classes), names, rotation=45, ha="right", fontsize=8, parse_math=False)
    if clients <= 30:
        axes.set_yticks(range(clients), [str(client) for client in range(clients)], fontsize=8)
    if counts.size <= _MOST_NUMBERS:
        for (client, label), count in np.ndenumerate(counts):
            colour = "white" if count > 0.6 * top else "#888888" if count == 0 else "black"
            axes.text(label, client, str(count), ha="center", va="center", fontsize=7, color=colour)


def save(path: Path, counts: NDArray[np.int64], class_names: Sequence[str], title: str) -> None:
    """Write one heat map as a PNG of about 100 dots an inch."""
    figure = Figure(figsize=(7, 2 + min(0.25 * len(counts), 8)), layout="constrained")
    draw(figure.add_subplot(), counts, class_names, title, int(counts.max()))
    with atomic.replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=100, metadata={"Software": None})
