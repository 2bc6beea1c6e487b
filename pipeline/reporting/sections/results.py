"""Accuracy of every fill with its controls, and the differences; then accuracy over rounds."""

from collections.abc import Mapping, Sequence

from markupsafe import Markup

from pipeline.reporting.arms import ArmRuns
from pipeline.reporting.charts import lines, rows
from pipeline.reporting.charts.lines import Line, Point
from pipeline.reporting.charts.rows import Row
from pipeline.reporting.interval import Interval
from pipeline.reporting.page import Charts, Folded, Items, Part, Section, Shown, Text
from pipeline.reporting.summary import Summary, budgets, result_tables

PERCENT = "percent of the test images"
POINTS = "points of accuracy; the whisker is the 95 % interval"


def make(summary: Summary, places: Mapping[str, int], fills: Mapping[str, str], work: str) -> Section:
    """Return the section of accuracies and differences.

    ``places`` decide the fills' colours, ``fills`` say what each is, ``work`` what a client does in a round.
    """
    parts: list[Part] = [Charts(_charts(summary, places), wide=True)]
    parts.append(Folded("All numbers", [Shown(table) for table in result_tables(summary)]))
    parts.append(Items({
        "Equal epochs": f"each client {work}, so a fill that brings images can also bring more local work.",
        "Equal steps": "each client does as much local work with every fill as if every deficit were filled, so that no "
        "fill wins by more work.",
        **fills,
    }))  # fmt: skip
    return Section("Accuracy, with every control", parts)


def _charts(summary: Summary, places: Mapping[str, int]) -> list[Markup]:
    """Return for each algorithm and budget a chart of accuracies and one of differences, all on the same two axes."""
    drawn: list[tuple[str, list[Row], list[Row]]] = []
    for algorithm in dict.fromkeys(arm.algorithm for arm in summary.arms):
        for budget in budgets(summary):
            arms = [one for one in summary.arms if (one.algorithm, one.budget) == (algorithm, budget)]
            gaps = [one for one in summary.comparisons if (one.algorithm, one.budget) == (algorithm, budget)]
            bars = [_row(one.fill, one.final, places[one.fill], one.fill == summary.fill) for one in arms]
            differences = [
                _row(f"{one.fill} - {one.control}", one.difference, places[one.control], signed=True) for one in gaps
            ]
            drawn.append((f"{algorithm}, equal {budget}", bars, differences))
    ticks = rows.ticks_of([row for _, bars, _ in drawn for row in bars])
    apart = rows.ticks_of([row for _, _, differences in drawn for row in differences])
    made = []
    for title, bars, differences in drawn:
        made.append(rows.draw(bars, title, unit=PERCENT, ticks=ticks))
        if differences:
            made.append(rows.draw(differences, f"Differences: {title}", unit=POINTS, ticks=apart))
    return made


def _row(name: str, value: Interval, place: int, strong: bool = False, signed: bool = False) -> Row:
    low, high = ends(value)
    return Row(name, 100 * value.mean, value.percent(signed), place, low, high, strong=strong)


def ends(value: Interval) -> tuple[float | None, float | None]:
    """Return the ends of an interval in percent, None for a single value."""
    if value.half_width is None:
        return None, None
    return 100 * (value.mean - value.half_width), 100 * (value.mean + value.half_width)


def curves(summary: Summary, arms: Sequence[ArmRuns], places: Mapping[str, int]) -> Section:
    """Return the section of accuracy over rounds, a chart for each algorithm and budget."""
    drawn = []
    for algorithm in dict.fromkeys(arm.algorithm for arm in summary.arms):
        for budget in budgets(summary):
            chosen = [arm for arm in arms if (arm.algorithm, arm.budget) == (algorithm, budget) and arm.runs]
            drawn.append((f"{algorithm}, equal {budget}", [_line(arm, places[arm.fill]) for arm in chosen]))
    levels = {"target": 100 * summary.target_accuracy}
    ticks = lines.ticks_of([line for _, all_lines in drawn for line in all_lines], *levels.values())
    charts = [
        lines.draw(all_lines, title, across="round", up=PERCENT, ticks=ticks, levels=levels)
        for title, all_lines in drawn
    ]
    return Section("Accuracy over rounds", [Text("Line: mean over seeds; band: lowest to highest seed."), Charts(charts, wide=True)])


def _line(arm: ArmRuns, place: int) -> Line:
    points = [
        Point(number, 100 * sum(shares) / len(shares), 100 * min(shares), 100 * max(shares))
        for number, shares in arm.curve()
    ]
    return Line(arm.fill, place, points)
