"""Accuracy of every fill with its controls, and the differences; then accuracy over rounds."""

from collections.abc import Iterator, Mapping, Sequence

from markupsafe import Markup

from pipeline.reporting import tables
from pipeline.reporting.arms import ArmRuns
from pipeline.reporting.charts import lines, rows
from pipeline.reporting.charts.lines import Line
from pipeline.reporting.charts.rows import Row
from pipeline.reporting.page import Charts, Folded, Items, Part, Section, Shown, Text
from pipeline.reporting.statistics import LEAST, Estimate
from pipeline.reporting.summary import Arm, Comparison, Summary, Verdict
from pipeline.reporting.verdict import evidence, rival

PERCENT = "percent of the test images"
SHARES, GAPS = (0.0, 100.0), (-100.0, 100.0)
"""Where axes of accuracies and of differences end in percent: intervals of few seeds may go beyond what is possible."""
_INTERVAL = "the whisker is the 95 % interval"
_KINDS = {"control": "", "synthetic": "", "bound": " (bound)"}
_CLAIM = (
    "A difference is bold only if there are at least {least} partitions, and its interval and its sign-flip test agree "
    "that it is not 0. A report has one partition: its intervals are over training seeds, and it has no p. Controls "
    "use no synthetic image; a bound uses real images that no client has, so no federation can have it."
)

_AVERAGED = (
    "The same comparison for the average of the global weights of a run's last rounds, which costs clients nothing: "
    "differences of equal seeds with their interval. The claims above are about the primary number."
)
_REFERENCES = (
    "Central references: the same model trained on one machine with {} SGD steps, which differs from the federated "
    "runs. Images that the generator makes can explain much of a federated result by themselves: look at these "
    "references before you credit the clients' data."
)


def make(
    summary: Summary, places: Mapping[str, int], fills: Mapping[str, str], work: str, central_steps: int
) -> Section:
    """Return the section of accuracies and differences.

    ``places`` decide the fills' colours, ``fills`` say what each is, ``work`` what a client does in a round;
    ``central_steps`` are those of each reference.
    """
    parts: list[Part] = [Charts(_charts(summary, places), wide=True), Text(_CLAIM.format(least=LEAST))]
    if summary.references:
        parts += [
            Charts([_references(summary, len(places))], wide=True),
            Text(_REFERENCES.format(f"{central_steps:,}")),
        ]
    averaged = _averaged(summary, places)
    if averaged:
        parts.append(Folded("Differences of averaged weights", [Text(_AVERAGED), Charts(averaged, wide=True)]))
    parts.append(Folded("All numbers", [Shown(table) for table in tables.results(summary)]))
    parts.append(Items({
        "Equal epochs": f"each client {work}, so a fill that brings images can also bring more local work.",
        "Equal steps": "each client does as much local work with every fill as if every deficit were filled, so that "
        "no fill wins by more work.",
        **fills,
    }))  # fmt: skip
    return Section("Accuracy, with every control", parts)


def keys(summary: Summary) -> list[tuple[str, str]]:
    """Return the algorithms and budgets of all arms, in the order of the arms."""
    return list(dict.fromkeys((arm.algorithm, arm.budget) for arm in summary.arms))


def _charts(summary: Summary, places: Mapping[str, int]) -> list[Markup]:
    """Return for each algorithm and budget a chart of accuracies and one of differences, all on the same two axes."""
    drawn = []
    for key in keys(summary):
        arms = [arm for arm in summary.arms if (arm.algorithm, arm.budget) == key]
        gaps = [one for one in summary.comparisons if (one.algorithm, one.budget) == key]
        verdicts = [one for one in summary.verdicts if (one.algorithm, one.budget) == key]
        bars = [_arm(arm, summary, places) for arm in arms]
        drawn.append((f"{key[0]}, equal {key[1]}", bars, list(_differences(verdicts, gaps, places))))
    ticks = rows.ticks_of([row for _, bars, _ in drawn for row in bars], ends=SHARES)
    apart = rows.ticks_of([row for _, _, differences in drawn for row in differences], ends=GAPS)
    what = (
        "accuracy after the last round"
        if summary.last_rounds == 1
        else f"mean of the last {summary.last_rounds} rounds"
    )
    made = []
    for title, bars, differences in drawn:
        made.append(rows.draw(bars, title, unit=f"{PERCENT}, {what}; {_INTERVAL}", ticks=ticks))
        if differences:
            unit = f"points of accuracy, {what}; {_INTERVAL}"
            made.append(
                rows.draw(differences, f"{summary.fill} minus each other fill: {title}", unit=unit, ticks=apart)
            )
    return made


def _averaged(summary: Summary, places: Mapping[str, int]) -> list[Markup]:
    """Return for each algorithm and budget a chart of the differences of averaged weights, if any were tested."""
    drawn = []
    for key in keys(summary):
        gaps = [one for one in summary.comparisons if (one.algorithm, one.budget) == key]
        found = [
            row(one.control, one.averaged, places[one.control], evidence(one.averaged), one.averaged.clear)
            for one in gaps
            if one.averaged
        ]
        if found:
            drawn.append((f"{summary.fill} minus each other fill, averaged weights: {key[0]}, equal {key[1]}", found))
    ticks = rows.ticks_of([bar for _, found in drawn for bar in found], ends=GAPS)
    return [rows.draw(found, title, unit=f"points of accuracy; {_INTERVAL}", ticks=ticks) for title, found in drawn]


def _references(summary: Summary, place: int) -> Markup:
    """Return the chart of central runs, whose colours follow those of the fills from ``place`` on."""
    bars = [row(one.fill, one.accuracy, place + i, one.accuracy.percent()) for i, one in enumerate(summary.references)]
    ticks = rows.ticks_of(bars, ends=SHARES)
    return rows.draw(bars, "Central references", unit=f"{PERCENT} after the last step; {_INTERVAL}", ticks=ticks)


def _arm(arm: Arm, summary: Summary, places: Mapping[str, int]) -> Row:
    kinds = {one.fill: one.kind for one in summary.fills}
    more = [f"last round {arm.last.percent()}"]
    if arm.averaged:
        more.append(f"averaged weights {arm.averaged.percent()}")
    seeds = len(arm.by_seed)
    tip = f"{arm.primary.percent()}; {'; '.join(more)}; {seeds} seed{'s' * (seeds != 1)}"
    name = arm.fill + _KINDS.get(kinds.get(arm.fill, ""), "")
    return row(name, arm.primary, places[arm.fill], tip, strong=arm.fill == summary.fill)


def _differences(verdicts: Sequence[Verdict], gaps: Sequence[Comparison], places: Mapping[str, int]) -> Iterator[Row]:
    """Yield the difference from the best control, with any algorithm, and from each fill with the same algorithm."""
    for one in verdicts:
        best = one.best
        name = f"best: {rival(best, one.budget)}"
        yield row(name, best.difference, places[best.fill], evidence(best.difference), best.difference.clear)
    for gap in gaps:
        yield row(gap.control, gap.difference, places[gap.control], evidence(gap.difference), gap.difference.clear)


def row(name: str, value: Estimate, place: int, tip: str, strong: bool = False) -> Row:
    """Return a mean with its interval as a bar, in percent."""
    low, high = (None if end is None else 100 * end for end in (value.low, value.high))
    return Row(name, 100 * value.mean, value.percent(), place, low, high, strong=strong, tip=tip)


def curves(summary: Summary, arms: Sequence[ArmRuns], places: Mapping[str, int]) -> Section:
    """Return the section of accuracy over rounds, a chart for each algorithm and budget."""
    drawn = []
    for key in keys(summary):
        chosen = [arm for arm in arms if (arm.algorithm, arm.budget) == key and arm.runs]
        targets = [arm.target for arm in summary.arms if arm.target and (arm.algorithm, arm.budget) == key]
        # Arms of one algorithm and budget have one target.
        levels = {"target": 100 * targets[0].accuracy} if targets else {}
        drawn.append((f"{key[0]}, equal {key[1]}", [_line(arm, places[arm.fill]) for arm in chosen], levels))
    ticks = lines.ticks_of(
        [line for _, made, _ in drawn for line in made], *(level for _, _, levels in drawn for level in levels.values())
    )
    charts = [
        lines.draw(made, title, across="round", up=PERCENT, ticks=ticks, levels=levels) for title, made, levels in drawn
    ]
    told = "Line: mean over seeds; band: lowest to highest seed. The number beside a name is the last round's."
    return Section("Accuracy over rounds", [Text(told), Charts(charts, wide=True)])


def _line(arm: ArmRuns, place: int) -> Line:
    points = [lines.over([100 * share for share in shares], number) for number, shares in arm.curve()]
    return Line(arm.fill, place, points)
