"""Heat maps of clients and classes: how many images who holds."""

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image

from pipeline import printable
from pipeline.reporting import pictures
from pipeline.reporting.charts.figure import frame
from pipeline.reporting.charts.markup import element

_LEFT, _TOP, _WIDTH = 70, 4, 360
_LETTERS = 11
_NAMED = 30  # more rows or columns have no names
_NUMBERED = 12  # at most so many columns leave room for counts
_TOLD = 8  # classes that a pointer reads of a client
_INK = (0, 114, 178)


def draw(
    counts: NDArray[np.int64], class_names: Sequence[str], client_names: Sequence[str], title: str, top: int
) -> Markup:
    """Return the map of ``counts`` (clients, classes); full colour stands for ``top`` images or more.

    The cells are one picture of a pixel each, whose size grows with neither the chart nor its colours.
    """
    clients, classes = counts.shape
    tall = 15.0 if clients <= _NAMED else max(1.0, 450 / clients)
    wide, height = (_WIDTH - _LEFT - 4) / classes, tall * clients
    below = 58 if classes <= _NAMED else 20
    parts = [
        element("rect", x=_LEFT, y=_TOP, width=wide * classes, height=height, class_="sheet"),
        element(
            "image",
            href=_pixels(counts, top),
            x=_LEFT,
            y=_TOP,
            width=wide * classes,
            height=height,
            preserveAspectRatio="none",
        ),
        *(_client(i, counts[i], name, tall, class_names, clients <= _NAMED) for i, name in enumerate(client_names)),
        *_classes(class_names, wide, _TOP + height),
    ]
    if classes <= _NUMBERED and clients <= _NAMED:
        parts.extend(_numbers(counts, top, wide, tall))
    box = f"0 0 {_WIDTH} {round(_TOP + height + below)}"
    told = (
        f"{clients} clients, {classes} classes, {int(counts.sum()):,} images; {int((counts == 0).sum()):,} empty cells"
    )
    drawn = element("svg", *parts, viewBox=box, role="img", aria_label=f"{title}: {told}")
    return frame(title, element("p", told, class_="unit"), drawn, kind="cells", about=f"{told}.")


def _pixels(counts: NDArray[np.int64], top: int) -> str:
    """Return a picture of one colour, the more opaque the more images, so that it fits a light and a dark page."""
    share = np.clip(counts / max(top, 1), 0, 1)
    pixels = np.empty((*counts.shape, 4), np.uint8)
    pixels[..., :3] = _INK
    # A cell with few images is still told from an empty one.
    pixels[..., 3] = np.where(counts > 0, 40 + 215 * share, 0).round()
    return pictures.source(Image.fromarray(pixels))


def _client(
    row: int, held: NDArray[np.int64], name: str, tall: float, class_names: Sequence[str], named: bool
) -> Markup:
    """Return the strip of one client; a pointer reads its largest classes."""
    order = [label for label in np.argsort(-held, kind="stable").tolist() if held[label]]
    told = [f"{printable.short(class_names[label], 40)}: {held[label]:,}" for label in order[:_TOLD]]
    if len(order) > _TOLD:
        told.append(f"and {len(order) - _TOLD} more classes")
    tip = "\n".join([f"client {printable.short(name, 40)}: {int(held.sum()):,} images", *told])
    at = _TOP + row * tall
    label = (
        element("text", printable.short(name, _LETTERS), x=_LEFT - 5, y=at + tall / 2 + 4, class_="end")
        if named
        else None
    )
    return element("g", label, element("rect", x=0, y=at, width=_WIDTH, height=tall, class_="hit"), data_tip=tip)


def _classes(class_names: Sequence[str], wide: float, bottom: float) -> list[Markup]:
    if len(class_names) > _NAMED:
        shown = f"{len(class_names)} classes, in order of label"
        return [element("text", shown, x=(_LEFT + _WIDTH) / 2, y=bottom + 14, class_="mid")]
    made = []
    for label, name in enumerate(class_names):
        x, y = _LEFT + (label + 0.5) * wide + 3, bottom + 10
        turned = f"rotate(-45 {x:.1f} {y:.1f})"
        made.append(element("text", printable.short(name, _LETTERS), x=x, y=y, class_="end", transform=turned))
    return made


def _numbers(counts: NDArray[np.int64], top: int, wide: float, tall: float) -> list[Markup]:
    made = []
    for (client, label), count in np.ndenumerate(counts):
        kind = "mid none" if count == 0 else "mid deep" if count > 0.5 * top else "mid"
        x, y = _LEFT + (label + 0.5) * wide, _TOP + (client + 0.5) * tall + 3
        made.append(element("text", int(count), x=x, y=y, class_=kind))
    return made
