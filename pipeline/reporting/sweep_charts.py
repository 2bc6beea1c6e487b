"""The charts of a sweep's page: accuracy in each setting, gains over the settings, and accuracy over rounds."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from pipeline.reporting.charts import lines, rows
from pipeline.reporting.charts.lines import Line, Point
from pipeline.reporting.charts.rows import Row
from pipeline.reporting.sections.results import SHARES, row
from pipeline.reporting.sweep_summary import Comparison, FillResult, Setting
from pipeline.reporting.verdict import named, replicates

PERCENT = "percent of the test images; the whisker is the 95 % interval"
COST = "MB until the target, images included; hollow: at least so many, not every run reaches it by its last round"
POINTS = "points of accuracy; the band is the 95 % interval"


@dataclass(frozen=True)
class Places:
    """Where each fill is among the fills, which decides its colour on the whole page."""

    fills: Sequence[str]

    def of(self, fill: str) -> int:
        return self.fills.index(fill)


def label(axes: Mapping[str, str], without: str = "") -> str:
    """Return a setting in words; an axis whose name says the same as its value is not repeated."""
    return ", ".join(f"{name} {value}" for name, value in axes.items() if name != without)


def multiples(settings: Sequence[Setting], fill: str, places: Places) -> list[Markup]:
    """Return a chart for each setting, algorithms together: the accuracy of every fill, all on one axis.

    The bars of ``fill`` are bold.
    """
    by_axes: dict[str, list[Row]] = {}
    algorithms = {setting.algorithm for setting in settings}
    for setting in settings:
        found = by_axes.setdefault(label(setting.axes), [])
        for one in setting.fills:
            name = one.fill if len(algorithms) == 1 else f"{one.fill}, {setting.algorithm}"
            name = f"{one.fill} (central run)" if one.central else name
            tip = f"{one.primary.percent()}, {replicates(one.primary.partitions, one.primary.replicates)}"
            found.append(row(name, one.primary, places.of(one.fill), tip, strong=one.fill == fill))
    ticks = rows.ticks_of([bar for found in by_axes.values() for bar in found], ends=SHARES)
    return [rows.draw(found, title or "The one setting", unit=PERCENT, ticks=ticks) for title, found in by_axes.items()]


def gains(settings: Sequence[Setting], fill: str, axis: str, values: Sequence[str], places: Places) -> list[Markup]:
    """Return charts of the compared fill's gain along one axis: a line for each control, one for the best control.

    There is a chart for each algorithm and each choice of the other axes' values; all have the same vertical axis.
    """
    grouped: dict[tuple[str, str], dict[str, list[tuple[int, Comparison]]]] = {}
    for setting in settings:
        title = ", ".join(part for part in (setting.algorithm, label(setting.axes, axis)) if part)
        group = grouped.setdefault((title, setting.budget), {})
        for one in (one for one in setting.comparisons if one.fill == fill and one.role != "weakest"):
            name = "the best control" if one.role == "best" else named(one.algorithm, one.control)
            group.setdefault(name, []).append((values.index(setting.axes[axis]), one))
    drawn = []
    for (title, _), group in grouped.items():
        made = [
            Line(
                name, len(places.fills) if name == "the best control" else places.of(found[0][1].control), points(found)
            )
            for name, found in group.items()
        ]
        drawn.append((title, made))
    ticks = lines.ticks_of([line for _, made in drawn for line in made], 0.0)
    return [
        lines.draw(made, f"Gain over {axis}: {title}", across=axis, up=POINTS, ticks=ticks, names=values)
        for title, made in drawn
    ]


def costs(settings: Sequence[Setting], axis: str, places: Places) -> list[Markup]:
    """Return charts of what every fill moves until the target along an axis of numbers, images included.

    There is a chart for each algorithm and each choice of the other axes' values; all have the same vertical axis. A
    fill of which a run never reaches the target has a hollow dot: a lower bound.
    """
    grouped: dict[tuple[str, str], dict[str, list[Point]]] = {}
    for setting in sorted(settings, key=lambda one: float(one.axes[axis])):
        title = ", ".join(part for part in (setting.algorithm, label(setting.axes, axis)) if part)
        group = grouped.setdefault((title, setting.budget), {})
        for one in setting.fills:
            if point := _cost(one, float(setting.axes[axis])):
                group.setdefault(one.fill, []).append(point)
    made = [
        (title, [Line(fill, places.of(fill), found) for fill, found in group.items()])
        for (title, _), group in grouped.items()
        if group
    ]
    ticks = lines.ticks_of([line for _, drawn in made for line in drawn], 0.0)
    return [lines.draw(drawn, f"Cost over {axis}: {title}", across=axis, up=COST, ticks=ticks) for title, drawn in made]


def _cost(one: FillResult, x: float) -> Point | None:
    """Return the megabytes of a fill; None if the table does not say, or a central run never reaches the target."""
    found = one.target
    if found is None:
        return None
    if one.central or found.replicates == found.of:
        note = f"{found.replicates} of {found.of} runs reach it" if found.replicates < found.of else ""
        return None if found.whole is None else Point(x, found.whole, note=note)
    last = f" by round {one.numbers['rounds']:.0f}" if "rounds" in one.numbers else ""
    return None if found.least is None else Point(
        x, found.least, note=f"at least: {found.of - found.replicates} of {found.of} runs do not reach it{last}"
    )  # fmt: skip


def points(found: Iterable[tuple[int, Comparison]]) -> list[Point]:
    """Return the differences of one line in percent, in order of the axis."""
    return [
        Point(place, 100 * one.difference.mean, percent(one.difference.low), percent(one.difference.high))
        for place, one in sorted(found, key=lambda pair: pair[0])
    ]


def percent(share: float | None) -> float | None:
    """Return a share of 1 in percent."""
    return None if share is None else 100 * share


def over_rounds(curves: Sequence[Mapping[str, object]], axes: Sequence[str], places: Places) -> list[Markup]:
    """Return a chart of accuracy over rounds for each setting and algorithm: mean, lowest and highest of all runs."""
    grouped: dict[str, dict[str, dict[int, list[float]]]] = {}
    for line in curves:
        title = ", ".join([label({axis: str(line[axis]) for axis in axes}), str(line["algorithm"])])
        by_round = grouped.setdefault(title, {}).setdefault(str(line["fill"]), {})
        by_round.setdefault(int(str(line["round"])), []).append(100 * float(str(line["accuracy"])))
    drawn = {
        title: [Line(fill, places.of(fill), _means(by_round)) for fill, by_round in by_fill.items()]
        for title, by_fill in grouped.items()
    }
    ticks = lines.ticks_of([line for made in drawn.values() for line in made])
    up = "percent of the test images; the band is from the lowest to the highest run"
    return [lines.draw(made, title, across="round", up=up, ticks=ticks) for title, made in drawn.items()]


def _means(by_round: Mapping[int, Sequence[float]]) -> list[Point]:
    return [lines.over(shares, number) for number, shares in sorted(by_round.items())]
