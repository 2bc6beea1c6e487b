"""Rows of bars or differences with their intervals; labels are HTML text, which wraps on a phone."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from pipeline import printable
from pipeline.reporting.charts.figure import frame
from pipeline.reporting.charts.markup import element, number
from pipeline.reporting.charts.palette import style
from pipeline.reporting.charts.scale import Scale, around

_HEIGHT = 18
_LETTERS = 48  # of a name that are shown; a pointer reads all


@dataclass(frozen=True)
class Row:
    """One bar. ``text`` stands beside it; ``floor`` is a value to compare with, drawn as a tick."""

    name: str
    value: float | None
    """None: there is none, and ``text`` says why."""
    text: str
    place: int = 0
    low: float | None = None
    high: float | None = None
    floor: float | None = None
    strong: bool = False
    """Name and text are bold."""
    tip: str = ""
    """More than ``text``, for a pointer."""


def ticks_of(rows: Sequence[Row], ends: tuple[float, float] = (-math.inf, math.inf)) -> tuple[float, ...]:
    """Return the axis that rows need, with 0 in it, so that charts side by side can share it.

    It does not go beyond ``ends``: a whisker that does is cut there, its text is not.
    """
    values = [value for row in rows for value in (row.value, row.low, row.high, row.floor) if value is not None]
    return around([min(max(value, ends[0]), ends[1]) for value in values], least=0.0)


def draw(rows: Sequence[Row], title: str, *, unit: str, ticks: Sequence[float] | None = None) -> Markup:
    """Return the chart; ``unit`` says what the numbers are, ``ticks`` are those of the axis."""
    marks = tuple(ticks) if ticks else ticks_of(rows)
    drawn = [line(row.name, row.text, _bar(row, marks), row.tip, row.strong) for row in rows]
    return framed(drawn, title, unit, marks)


def framed(drawn: Sequence[Markup], title: str, unit: str, ticks: Sequence[float]) -> Markup:
    """Return rows and their axis as a figure."""
    lines = element("div", *drawn, axis(ticks), class_="lines")
    return frame(title, element("p", unit, class_="unit"), lines, kind="rows", about=f"{unit}.")


def line(name: str, text: str, marks: Sequence[Markup], tip: str = "", strong: bool = False) -> Markup:
    """Return one row: its name, what is drawn, and its value as text."""
    track = element("svg", *marks, class_="track", height=_HEIGHT, aria_hidden="true")
    kind = "row strong" if strong else "row"
    shown = f"{printable.line(name)}: {tip or text}"
    return element(
        "div",
        element("span", printable.short(name, _LETTERS), class_="name"),
        element("span", text, class_="value"),
        track,
        class_=kind,
        data_tip=shown,
    )


def axis(ticks: Sequence[float]) -> Markup:
    """Return the row of numbers below the others."""
    across = Scale(ticks[0], ticks[-1], 0, 100)
    texts = []
    for tick in ticks:
        kind = "first" if tick == ticks[0] else "end" if tick == ticks[-1] else "mid"
        texts.append(element("text", number(tick, 2), x=_percent(across.at(tick)), y=11, class_=kind))
    track = element("svg", *texts, class_="track", height=14)
    return element(
        "div",
        element("span", class_="name"),
        element("span", class_="value"),
        track,
        class_="row axis",
        aria_hidden="true",
    )


def grid(ticks: Sequence[float]) -> list[Markup]:
    """Return the thin lines behind a row."""
    across = Scale(ticks[0], ticks[-1], 0, 100)
    made = []
    for tick in ticks:
        at = _percent(across.at(tick))
        kind = "grid zero" if tick == 0 and ticks[0] < 0 else "grid"
        made.append(element("line", x1=at, x2=at, y1=0, y2=_HEIGHT, class_=kind))
    return made


def _bar(row: Row, ticks: Sequence[float]) -> list[Markup]:
    """Return a bar from 0 to the value, the interval's whisker, and the tick of the floor."""
    across, colour, middle = Scale(ticks[0], ticks[-1], 0, 100), style(row.place)[0], _HEIGHT / 2
    made = grid(ticks)
    if row.value is not None:
        start, end = sorted((across.at(0.0), across.at(row.value)))
        made.append(
            element("rect", x=_percent(start), width=_percent(end - start), y=4, height=10, class_=f"bar {colour}")
        )
    if row.low is not None and row.high is not None:
        left, right = _percent(across.at(row.low)), _percent(across.at(row.high))
        made.append(element("line", x1=left, x2=right, y1=middle, y2=middle, class_="whisker"))
        for at in (left, right):
            made.append(element("line", x1=at, x2=at, y1=middle - 4, y2=middle + 4, class_="whisker"))
    if row.floor is not None:
        at = _percent(across.at(row.floor))
        made.append(element("line", x1=at, x2=at, y1=1, y2=_HEIGHT - 1, class_="floor"))
    return made


def _percent(value: float) -> str:
    return f"{number(value, 2)}%"
