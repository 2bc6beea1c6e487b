"""Tiles: a number for each row and column, blue where something pays and orange where it does not."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from pipeline import printable
from pipeline.reporting.charts.figure import frame
from pipeline.reporting.charts.markup import element

_WIDTH, _LEFT, _TOP, _TALL = 360, 74, 4, 22
_BELOW = 32
_LETTERS = 12


@dataclass(frozen=True)
class Tile:
    """One number as text; ``shade`` is from -1 (orange: it does not pay) over 0 to 1 (blue: it pays)."""

    text: str
    shade: float
    tip: str


def draw(
    tiles: Sequence[Sequence[Tile]], rows: Sequence[str], columns: Sequence[str], title: str, *, unit: str, across: str
) -> Markup:
    """Return the chart of ``tiles`` (rows, columns); ``unit`` says what the numbers are, ``across`` the columns."""
    wide, bottom = (_WIDTH - _LEFT - 4) / max(len(columns), 1), _TOP + _TALL * len(rows)
    parts = []
    for row, (name, line) in enumerate(zip(rows, tiles, strict=True)):
        middle = _TOP + _TALL * row + _TALL / 2 + 4
        parts.append(element("text", printable.short(name, _LETTERS), x=_LEFT - 6, y=middle, class_="end"))
        for column, (head, tile) in enumerate(zip(columns, line, strict=True)):
            tip = f"{printable.line(name)}, {printable.line(head)}: {tile.tip}"
            parts.append(_tile(tile, _LEFT + wide * column, _TOP + _TALL * row, wide, tip))
    for column, head in enumerate(columns):
        at = _LEFT + wide * (column + 0.5)
        parts.append(element("text", printable.short(head, _LETTERS), x=at, y=bottom + 13, class_="mid name"))
    parts.append(element("text", across, x=(_LEFT + _WIDTH) / 2, y=bottom + 28, class_="mid name"))
    box = f"0 0 {_WIDTH} {bottom + _BELOW}"
    drawn = element("svg", *parts, viewBox=box, role="img", aria_label=f"{title}: {unit}")
    return frame(title, element("p", unit, class_="unit"), drawn, kind="tiles", about=f"{unit}.")


def _tile(tile: Tile, x: float, y: float, wide: float, tip: str) -> Markup:
    kind = "gain" if tile.shade > 0 else "loss"
    strength = round(0.12 + 0.5 * min(abs(tile.shade), 1.0), 2)
    box = element("rect", x=x + 1, y=y + 1, width=wide - 2, height=_TALL - 2, class_=kind, fill_opacity=strength)
    over = element("rect", x=x + 1, y=y + 1, width=wide - 2, height=_TALL - 2, class_="hit")
    text = element("text", tile.text, x=x + wide / 2, y=y + _TALL / 2 + 4, class_="mid")
    return element("g", box, text, over, data_tip=tip)
