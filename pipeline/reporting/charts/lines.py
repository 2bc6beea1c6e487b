"""Lines with bands: accuracy over rounds, or a difference over the settings of a sweep."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from pipeline import printable
from pipeline.reporting.charts.figure import frame, legend
from pipeline.reporting.charts.markup import element, number
from pipeline.reporting.charts.palette import style
from pipeline.reporting.charts.scale import Scale, around

WIDTH, HEIGHT = 360, 230
_LEFT, _RIGHT, _TOP, _BOTTOM = 36, 8, 8, 34
_SLANTED = 30  # more pixels below the axis for names that do not fit side by side
_LETTERS = 14
_MARKED = 12  # lines of at most so many points show each


@dataclass(frozen=True)
class Point:
    """A mean at a place on the horizontal axis, and the ends of its band where it has one."""

    x: float
    mean: float
    low: float | None = None
    high: float | None = None
    note: str = ""
    """What makes it another kind of value than the others, such as a lower bound: its dot is hollow."""


@dataclass(frozen=True)
class Line:
    """A named line; ``place`` decides its colour and dashes."""

    name: str
    place: int
    points: Sequence[Point]


def over(values: Sequence[float], x: float) -> Point:
    """Return the mean of values, with a band from the lowest to the highest if there are several."""
    mean = sum(values) / len(values)
    return Point(x, mean, min(values), max(values)) if len(values) > 1 else Point(x, mean)


def ticks_of(lines: Sequence[Line], *more: float) -> tuple[float, ...]:
    """Return the vertical axis that lines and further values need, so that charts side by side can share it."""
    values = [value for line in lines for point in line.points for value in (point.mean, point.low, point.high)]
    return around([*values, *more])


def draw(
    lines: Sequence[Line],
    title: str,
    *,
    across: str,
    up: str,
    ticks: Sequence[float] | None = None,
    names: Sequence[str] | None = None,
    levels: Mapping[str, float] | None = None,
) -> Markup:
    """Return the chart. ``across`` and ``up`` name the axes, ``ticks`` are the vertical axis's numbers.

    ``names`` stand on the horizontal axis at 0, 1, 2, ... in place of numbers; ``levels`` are drawn as thin lines.
    """
    levels = levels or {}
    rows = tuple(ticks) if ticks else ticks_of(lines, *levels.values())
    places = sorted({point.x for line in lines for point in line.points})
    slanted = names is not None and sum(len(printable.short(name, _LETTERS)) for name in names) > 44
    bottom = HEIGHT - _BOTTOM
    y = Scale(rows[0], rows[-1], bottom, _TOP)
    x = _across(places, names)
    parts = [
        *_grid(rows, y),
        *_labels(x, bottom, names, slanted),
        *(part for line in lines for part in _stroke(line, x, y)),
        *_levels(levels, y),
        *_hits(lines, places, x, bottom, across, names),
    ]
    height = HEIGHT + (_SLANTED if slanted else 0)
    axis = element("text", across, x=(_LEFT + WIDTH - _RIGHT) / 2, y=height - 4, class_="mid")
    box = f"0 0 {WIDTH} {height}"
    drawn = element("svg", *parts, axis, viewBox=box, role="img", aria_label=f"{title}: {up} over {across}")
    ends = [(line.name, line.place, number(line.points[-1].mean)) for line in lines if line.points]
    said = f"{up}, at the end: " + "; ".join(f"{name} {value}" for name, _, value in ends) + "." if ends else ""
    return frame(title, element("p", up, class_="unit"), drawn, legend(ends), kind="lines", about=said)


def _across(places: Sequence[float], names: Sequence[str] | None) -> Scale:
    start, end = _LEFT, WIDTH - _RIGHT
    if names is not None:
        return Scale(-0.5, max(len(names) - 0.5, 0.5), start, end)
    low, high = (places[0], places[-1]) if places else (0.0, 1.0)
    return Scale(low, high, start, end) if high > low else Scale(low - 1, low + 1, start, end)


def _grid(ticks: Sequence[float], y: Scale) -> list[Markup]:
    made = []
    for tick in ticks:
        at = y.at(tick)
        kind = "grid zero" if tick == 0 and ticks[0] < 0 else "grid"
        made.append(element("line", x1=_LEFT, x2=WIDTH - _RIGHT, y1=at, y2=at, class_=kind))
        made.append(element("text", number(tick, 2), x=_LEFT - 5, y=at + 3.5, class_="end"))
    return made


def _labels(x: Scale, bottom: float, names: Sequence[str] | None, slanted: bool) -> list[Markup]:
    if names is None:
        inside = [tick for tick in around([x.low, x.high], 6) if x.low <= tick <= x.high]
        return [element("text", number(tick), x=x.at(tick), y=bottom + 14, class_="mid") for tick in inside]
    made = []
    for place, name in enumerate(names):
        at = x.at(place)
        turned = f"rotate(-35 {number(at, 2)} {number(bottom + 10, 2)})" if slanted else None
        shown = printable.short(name, _LETTERS)
        kind = "end" if slanted else "mid"
        made.append(element("text", shown, x=at, y=bottom + (10 if slanted else 14), class_=kind, transform=turned))
    return made


def _stroke(line: Line, x: Scale, y: Scale) -> list[Markup]:
    """Return the band, the line and, if there are few, the points of one line."""
    colour, dashes = style(line.place)
    made = []
    banded = [(x.at(p.x), y.at(p.low), y.at(p.high)) for p in line.points if p.low is not None and p.high is not None]
    if len(banded) > 1:
        outline = [(at, low) for at, low, _ in banded] + [(at, high) for at, _, high in reversed(banded)]
        made.append(element("path", d=f"{_path(outline)}Z", class_=f"band {colour}"))
    elif banded:
        at, low, high = banded[0]
        made.append(element("line", x1=at, x2=at, y1=low, y2=high, class_=f"line {colour}"))
    drawn = [(x.at(point.x), y.at(point.mean)) for point in line.points]
    if len(drawn) > 1:
        made.append(element("path", d=_path(drawn), class_=f"line {colour}", stroke_dasharray=dashes or None))
    for point, (at, up) in zip(line.points, drawn, strict=True):
        if point.note or len(drawn) <= _MARKED:
            kind = "dot hollow" if point.note else "dot"
            made.append(element("circle", cx=at, cy=up, r=3, class_=f"{kind} {colour}"))
    return made


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{number(at)} {number(up)}" for at, up in points)


def _levels(levels: Mapping[str, float], y: Scale) -> list[Markup]:
    made = []
    for name, value in levels.items():
        at = y.at(value)
        made.append(element("line", x1=_LEFT, x2=WIDTH - _RIGHT, y1=at, y2=at, class_="level"))
        shown = f"{printable.short(name, 28)} {number(value)}"
        made.append(element("text", shown, x=_LEFT + 2, y=at - 3))
    return made


def _hits(
    lines: Sequence[Line],
    places: Sequence[float],
    x: Scale,
    bottom: float,
    across: str,
    names: Sequence[str] | None,
) -> list[Markup]:
    """Return a strip for each place on the axis, where a pointer or key reads all lines, the highest first."""
    made = []
    by_line = [(line.name, {point.x: point for point in line.points}) for line in lines]
    for turn, place in enumerate(places):
        middle = x.at(place)
        left = (middle + x.at(places[turn - 1])) / 2 if turn else x.start
        right = (middle + x.at(places[turn + 1])) / 2 if turn + 1 < len(places) else x.end
        here = sorted(
            ((points[place], name) for name, points in by_line if place in points), key=lambda one: -one[0].mean
        )
        head = f"{across} {number(place)}" if names is None else printable.line(names[int(place)])
        tip = "\n".join([head, *(f"{printable.line(name)}: {_value(point)}" for point, name in here)])
        rule = element("line", x1=middle, x2=middle, y1=_TOP, y2=bottom, class_="rule")
        strip = element("rect", x=left, y=_TOP, width=right - left, height=bottom - _TOP, class_="hit")
        made.append(element("g", rule, strip, data_tip=tip))
    return made


def _value(point: Point) -> str:
    text = number(point.mean)
    if point.low is not None and point.high is not None:
        text = f"{text} ({number(point.low)} to {number(point.high)})"
    return f"{text}, {point.note}" if point.note else text
