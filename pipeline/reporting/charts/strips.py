"""Distributions, such as accuracy over clients: a row of columns for each fill."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from markupsafe import Markup

from pipeline.reporting.charts import rows
from pipeline.reporting.charts.markup import element, number
from pipeline.reporting.charts.palette import style
from pipeline.reporting.charts.scale import Scale

_HEIGHT = 18
_BINS = 50


@dataclass(frozen=True)
class Strip:
    """The values of one row; ``marks`` are values with a name that are drawn as lines."""

    name: str
    values: Sequence[float]
    place: int
    text: str
    marks: Mapping[str, float] = field(default_factory=dict)


def draw(strips: Sequence[Strip], title: str, *, unit: str, ticks: Sequence[float]) -> Markup:
    """Return the chart: the height of a column is the share of a row's values that lie there, its highest full."""
    drawn = []
    for strip in strips:
        marks = "; ".join(f"{name} {number(value)}" for name, value in strip.marks.items())
        drawn.append(
            rows.line(strip.name, strip.text, _columns(strip, ticks), f"{len(strip.values):,} values; {marks}")
        )
    return rows.framed(drawn, title, unit, ticks)


def _columns(strip: Strip, ticks: Sequence[float]) -> list[Markup]:
    across, colour = Scale(ticks[0], ticks[-1], 0, 100), style(strip.place)[0]
    made = rows.grid(ticks)
    counts, edges = np.histogram(np.clip(strip.values, ticks[0], ticks[-1]), _BINS, (ticks[0], ticks[-1]))
    for count, start, end in zip(counts.tolist(), edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        if count:
            left, height = across.at(start), (_HEIGHT - 2) * count / counts.max()
            width = f"{number(across.at(end) - left, 2)}%"
            at = f"{number(left, 2)}%"
            made.append(element("rect", x=at, width=width, y=_HEIGHT - height, height=height, class_=f"bar {colour}"))
    for value in strip.marks.values():
        at = f"{number(across.at(value), 2)}%"
        made.append(element("line", x1=at, x2=at, y1=0, y2=_HEIGHT, class_="floor"))
    return made
