"""The page of a sweep: the verdict, gains along the axes, and small multiples of all settings."""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from pipeline.reporting import page, sweep_charts, sweep_summary, sweep_tables
from pipeline.reporting.page import Charts, Folded, Page, Part, Section, Settings, Shown, Text, Verdict
from pipeline.reporting.statistics import Difference
from pipeline.reporting.sweep_charts import Places
from pipeline.reporting.sweep_summary import Setting, SweepSummary
from pipeline.reporting.verdict import EQUAL_WORK, evidence

_BOLD = (
    "A difference is bold only if there are enough partitions, and the 95 % interval and the sign-flip test agree that it "
    "is not 0. The partition is the unit; runs of one partition and training seed are compared in pairs."
)
_TARGETS = (
    "A target is reached by two tests in a row at or above it; round and bytes are means over the runs that reach it. The "
    "runs that never do are counted, and no number stands in for them."
)
_CLIENTS = (
    "Accuracy on the test images of each class, weighted by how many real images of that class the client holds. Each "
    "client counts once; worst and best 10 % are means of these clients."
)
_SKEW = (
    "Means over the partitions. Distances are from 0 (all clients alike) to 1, effective classes are a plain mean over "
    "clients, a missing cell is a client without an image of a class that others hold."
)
_QUALITY = "Means over the cells of a setting. Usefulness decides, then label agreement; distances only diagnose."


def render(
    *,
    name: str,
    about: str,
    axes: Mapping[str, Sequence[str]],
    results: pa.Table,
    curves: pa.Table,
    fill: str,
    settings: Mapping[str, str],
) -> str:
    """Return a sweep's page as HTML that loads nothing; equal tables give an equal page.

    ``axes`` are the values of each axis as text, in order; ``results`` and ``curves`` the sweep's tables, ``fill`` the
    one that is compared with the controls, ``settings`` what else decides the results. Columns that the tables lack are
    left out, and their sections say so.
    """
    found = sweep_summary.summarise(results, list(axes), fill)
    lines, rounds = results.to_pylist(), curves.to_pylist()
    places = Places(list(dict.fromkeys(str(line["fill"]) for line in [*lines, *rounds])))
    made = Page(
        title=f"gen-fedsd sweep: {name}",
        heading=f"{name}: {about}",
        verdict=verdict(found, lines),
        remarks=found.remarks,
        sections=[
            *_gains(found, axes, places),
            _settings(found, places),
            _differences(found, list(axes)),
            *_costs(lines, list(axes)),
            _rounds(rounds, list(axes), places),
            Section("What was run", [Settings({**_counts(lines, axes), **settings})]),
        ],
    )
    return page.render(made)


def verdict(found: SweepSummary, lines: Sequence[Mapping[str, Any]]) -> Verdict:
    """Return in how many settings the fill is clearly above the best control, and the range of the differences."""
    budget = claimed(found)
    best = [
        (sweep_charts.label({**setting.axes, "with": setting.algorithm}), one.difference)
        for setting in found.settings
        for one in setting.comparisons
        if setting.budget == budget and one.role == "best"
    ]
    if not best:
        return Verdict(f"No verdict: the fill {found.fill} was not trained beside a control.")
    above = [one for _, one in best if one.clear and one.mean > 0]
    below = [one for _, one in best if one.clear and one.mean < 0]
    lowest, highest = (choose(best, key=lambda pair: pair[1].mean) for choose in (min, max))
    text = f"At equal {budget}, {found.fill} is clearly above the best control in {len(above)} of {len(best)} settings"
    text += f", and clearly below it in {len(below)}" if below else ""
    if len(best) > 1:
        text += f"; the difference goes from {_told(*lowest)} to {_told(*highest)}"
    else:
        text += f": {_told(*highest)}"
    facts = [
        (f"{len(above)} of {len(best)}", "settings clearly above the best control"),
        (_range([one.partitions for _, one in best]), "partitions a setting"),
        (_range([one.replicates for _, one in best]), "paired replicates a difference"),
        (f"{len(lines):,}", "runs"),
    ]
    return Verdict(f"{text}.", len(above) == len(best), [], facts)


def _told(label: str, one: Difference) -> str:
    return f"{100 * one.mean:+.1f} points ({label}: {evidence(one)})"


def _range(counts: Sequence[int]) -> str:
    low, high = min(counts), max(counts)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def claimed(found: SweepSummary) -> str:
    """Return the budget of the claims: that of equal work if it was trained, else the first."""
    budgets = [setting.budget for setting in found.settings]
    return EQUAL_WORK if EQUAL_WORK in budgets else budgets[0] if budgets else ""


def _by_budget(found: SweepSummary) -> dict[str, list[Setting]]:
    """Return the settings by budget, those of the claims first."""
    first, made = claimed(found), dict[str, list[Setting]]()
    for setting in sorted(found.settings, key=lambda one: one.budget != first):
        made.setdefault(setting.budget, []).append(setting)
    return made


def _gains(found: SweepSummary, axes: Mapping[str, Sequence[str]], places: Places) -> list[Section]:
    """Return the section of gains along the first axis that has several values."""
    axis = next((name for name, values in axes.items() if len(values) > 1), None)
    if axis is None:
        return []
    parts = [
        _first_open(budget, found, Charts(sweep_charts.gains(settings, axis, axes[axis], places), wide=True))
        for budget, settings in _by_budget(found).items()
    ]
    return [Section(f"Gain of {found.fill} over {axis}", parts)]


def _settings(found: SweepSummary, places: Places) -> Section:
    parts = [
        _first_open(budget, found, Charts(sweep_charts.multiples(settings, found.fill, places), wide=True))
        for budget, settings in _by_budget(found).items()
    ]
    return Section("Accuracy in each setting", parts)


def _differences(found: SweepSummary, axes: Sequence[str]) -> Section:
    """Return the section of differences: from no fill and from the best control, and behind a title from all others."""
    near, far = (sweep_tables.differences(found, axes, roles) for roles in (("best", "none"), ("other",)))
    parts: list[Part] = [Text(_BOLD), Shown(near, len(axes) + 4)]
    if far.rows:
        parts.append(Folded("Differences from every other fill", [Shown(far, len(axes) + 4)]))
    return Section("Differences from no fill and from the best control", parts)


def _first_open(budget: str, found: SweepSummary, part: Part) -> Part:
    return part if budget == claimed(found) else Folded(f"At equal {budget}", [part])


def _costs(lines: Sequence[Mapping[str, Any]], axes: Sequence[str]) -> list[Section]:
    """Return the sections of bytes, clients, skew and images; those without numbers say so."""
    names, made = len(axes), []
    for title, told, table, texts, without in (
        ("Bytes moved until the target", _TARGETS, sweep_tables.targets(lines, axes), names + 3, "No target was set."),
        ("Clients", _CLIENTS, sweep_tables.clients(lines, axes), names + 3, "No accuracy over clients was measured."),
        ("Images and skew of the clients", _SKEW, sweep_tables.holdings(lines, axes), names + 1, "No run."),
        ("Are the images good?", _QUALITY, sweep_tables.quality(lines, axes), names, "No images were evaluated."),
    ):
        parts: list[Part] = [Text(told), Shown(table, texts)] if table.rows else [Text(without)]
        made.append(Section(title, parts))
    return made


def _rounds(rounds: Sequence[Mapping[str, Any]], axes: Sequence[str], places: Places) -> Section:
    title, budgets = "Accuracy over rounds", dict.fromkeys(str(row["budget"]) for row in rounds)
    if not budgets:
        return Section(title, [Text("No curves were kept.")])
    parts: list[Part] = []
    for budget in sorted(budgets, key=lambda one: one != EQUAL_WORK):
        charts = sweep_charts.over_rounds([row for row in rounds if row["budget"] == budget], axes, places)
        parts.append(Folded(f"At equal {budget}: {len(charts)} charts", [Charts(charts)]))
    return Section(title, parts)


def _counts(lines: Sequence[Mapping[str, Any]], axes: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Return what was run, by name."""
    made = {axis: ", ".join(values) for axis, values in axes.items()}
    for name, column in (("partition seeds", "partition_seed"), ("training seeds", "train_seed"), ("cells", "cell")):
        values = sorted({line[column] for line in lines if line.get(column) is not None})
        made[name] = f"{len(values):,}" if column == "cell" else ", ".join(map(str, values))
    return {**made, "runs": f"{len(lines):,}"}
