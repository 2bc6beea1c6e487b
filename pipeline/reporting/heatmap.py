"""Client x label heat maps."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pipeline import atomic, printable

_MOST_LETTERS = 17  # of a name; the names of a small figure leave no room for it else
_MOST_NUMBERS = 400  # cells in which the count is still printed


@contextmanager
def drawing(settings: dict[str, object] | None = None) -> Iterator[None]:
    """Draw text as it is, also where the user's matplotlibrc says otherwise: ``$`` begins no formula.

    Letters that the font lacks are drawn as boxes, without a warning for each.
    """
    plain = {"text.parse_math": False, "text.usetex": False}
    with mpl.rc_context({**plain, **(settings or {})}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph .* missing from", UserWarning)
        yield


def shown(names: Sequence[str]) -> list[str]:
    """Return names short enough for an axis; one that others then equal, or that lacks letters, has its number."""
    texts = [printable.short(name, _MOST_LETTERS) for name in names]
    font = font_manager.get_font(font_manager.findfont(font_manager.FontProperties()))
    return [
        text if texts.count(text) == 1 and all(font.get_char_index(ord(letter)) for letter in text) else f"{i}: {text}"
        for i, text in enumerate(texts)
    ]


def draw(
    axes: Axes,
    counts: NDArray[np.int64],
    class_names: Sequence[str],
    title: str,
    top: int,
    client_names: Sequence[str] | None = None,
) -> None:
    """Draw ``counts`` (clients, classes) into ``axes``; the darkest colour stands for ``top`` images."""
    clients, classes = counts.shape
    axes.imshow(counts, cmap="Blues", vmin=0, vmax=max(top, 1), aspect="auto", interpolation="nearest")
    axes.set_title(title, fontsize=10)
    axes.set_ylabel("client")
    if classes <= 30:
        axes.set_xticks(range(classes), shown(class_names), rotation=45, ha="right", fontsize=8, parse_math=False)
    if clients <= 30:
        names = [str(client) for client in range(clients)] if client_names is None else shown(client_names)
        axes.set_yticks(range(clients), names, fontsize=8, parse_math=False)
    if counts.size <= _MOST_NUMBERS:
        for (client, label), count in np.ndenumerate(counts):
            colour = "white" if count > 0.6 * top else "#888888" if count == 0 else "black"
            axes.text(label, client, str(count), ha="center", va="center", fontsize=7, color=colour)


def save(
    path: Path,
    counts: NDArray[np.int64],
    class_names: Sequence[str],
    title: str,
    client_names: Sequence[str] | None = None,
) -> None:
    """Write one heat map as a PNG of about 100 dots an inch."""
    with drawing():
        figure = Figure(figsize=(7, 2 + min(0.25 * len(counts), 8)), layout="constrained")
        draw(figure.add_subplot(), counts, class_names, title, int(counts.max()), client_names)
        with atomic.replacing(path) as temporary:
            figure.savefig(temporary, format="png", dpi=100, metadata={"Software": None})
