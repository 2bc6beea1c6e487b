"""The page of a sweep: the verdict, gains along the axes, and small multiples of all settings."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from pipeline.reporting import measures, sweep_charts, sweep_network, sweep_summary, sweep_tables
from pipeline.reporting.page import Charts, Folded, Page, Part, Section, Settings, Shown, Text, Verdict
from pipeline.reporting.sweep_charts import Places
from pipeline.reporting.sweep_summary import Setting, SweepSummary
from pipeline.reporting.tables import Table
from pipeline.reporting.verdict import EQUAL_WORK

_BOLD = (
    "A difference is bold only if there are enough partitions, and the 95 % interval and the sign-flip test agree "
    "that it is not 0. The partition is the unit; runs of one partition and training seed are compared in pairs."
)
_TARGETS = (
    "A target is reached by two tests in a row at or above it; round and bytes are means over the runs that reach "
    "it. The runs that never do are counted, and no number stands in for them. Images count once, as large as all "
    "clients' shards. A central run sends its weights once to each client, after its training. In the charts, runs "
    "that never reach the target count with all that they moved, so a hollow dot is a lower bound."
)
_ALONE = (
    "Each client trained alone, with the steps that it takes in all rounds of the federation: accuracy on the test "
    "images of each class, weighted by the client's own real labels. Better off: the share of clients for which the "
    "federation is more accurate than their own model. Each number is a mean over runs."
)
_SKEW = (
    "Means over the partitions; in parentheses: what clients show that hold as many images as with the fill, dealt at "
    "random. Distances are from 0 (all clients alike) to 1, effective classes are a plain mean over "
    "clients, a missing cell is a client without an image of a class that others hold."
)
_QUALITY = "Means over the cells of a setting. Usefulness decides, then label agreement; distances only diagnose."


def make(
    *,
    name: str,
    about: str,
    axes: Mapping[str, Sequence[str]],
    results: pa.Table,
    curves: pa.Table,
    fill: str,
    settings: Mapping[str, str],
    network: pa.Table | None = None,
) -> Page:
    """Return a sweep's page; equal tables give an equal page.

    ``axes`` are the values of each axis as text, in order; ``results`` and ``curves`` the sweep's tables, ``fill`` the
    one that is compared with the controls, ``settings`` what else decides the results. Columns that the tables lack are
    left out, and their sections say so. ``network`` are the times of the runs on each profile.
    """
    found = sweep_summary.summarise(results, list(axes), fill)
    lines, rounds = results.to_pylist(), curves.to_pylist()
    places = Places(list(dict.fromkeys(str(line["fill"]) for line in [*lines, *rounds])))
    return Page(
        title=f"gen-fedsd sweep: {name}",
        heading=f"{name}: {about}",
        verdict=verdict(found, lines),
        remarks=found.remarks,
        sections=[
            *_gains(found, axes, places),
            _settings(found, list(axes), places),
            _differences(found, list(axes)),
            *_costs(found, axes, places),
            sweep_network.section(network, list(axes), fill),
            _rounds(rounds, list(axes), places),
            Section("What was run", [Settings({**_counts(lines, axes), **settings})]),
        ],
    )


def verdict(found: SweepSummary, lines: Sequence[Mapping[str, Any]]) -> Verdict:
    """Return what the first algorithm shows at the budget of the claims, and how many replicates are behind it."""
    judged = [setting for setting in found.settings if setting.verdict and setting.budget == claimed(found)]
    gaps = [one.verdict.best.difference for one in judged if one.verdict and one.algorithm == judged[0].algorithm]
    if not gaps:
        return Verdict(f"No verdict: the fill {found.fill} was not trained beside a control.")
    above = sum(gap.clear and gap.mean > 0 for gap in gaps)
    facts = [
        (f"{above} of {len(gaps)}", "settings clearly above the best control"),
        (_range([gap.partitions for gap in gaps]), "partitions a setting"),
        (_range([gap.replicates for gap in gaps]), "paired replicates a difference"),
        (f"{len(lines):,}", "runs"),
    ]
    return Verdict(found.headline, above == len(gaps), [], facts)


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
        _first_open(
            budget, found, Charts(sweep_charts.gains(settings, found.fill, axis, axes[axis], places), wide=True)
        )
        for budget, settings in _by_budget(found).items()
    ]
    return [Section(f"Gain of {found.fill} over {axis}", parts)]


def _settings(found: SweepSummary, axes: Sequence[str], places: Places) -> Section:
    parts = [
        _first_open(budget, found, Charts(sweep_charts.multiples(settings, found.fill, places), wide=True))
        for budget, settings in _by_budget(found).items()
    ]
    table = sweep_tables.accuracies(found, axes)
    parts.append(Folded("As a table", [Shown(table, len(axes) + 4)]))
    return Section("Accuracy in each setting", parts)


def _differences(found: SweepSummary, axes: Sequence[str]) -> Section:
    """Return the section of the fill's differences from no fill and the best control; all others are folded."""
    first, others = (sweep_tables.differences(found, axes, near) for near in (True, False))
    parts: list[Part] = [Text(_BOLD), Shown(first, len(axes) + 4)]
    if others.rows:
        parts.append(Folded("All other differences", [Shown(others, len(axes) + 4)]))
    return Section(f"Differences of {found.fill} from no fill and from the best control", parts)


def _first_open(budget: str, found: SweepSummary, part: Part) -> Part:
    return part if budget == claimed(found) else Folded(f"At equal {budget}", [part])


def _costs(found: SweepSummary, axes: Mapping[str, Sequence[str]], places: Places) -> list[Section]:
    """Return the sections of bytes, clients, skew and images; those without numbers say so."""
    names, keys = list(axes), len(axes) + 3
    alone = sweep_tables.alone(found, names)
    each: list[Part] = [Text(_ALONE), Shown(alone, keys)] if alone.rows else [Text("No client was trained alone.")]
    targets = _told(_TARGETS, sweep_tables.targets(found, names), keys, "No target was set.")
    spread = _told(
        measures.OVER_CLIENTS, sweep_tables.clients(found, names), keys, "No accuracy over clients was measured."
    )
    held = _told(_SKEW, sweep_tables.holdings(found, names), len(axes) + 1, "Nobody counted images.")
    quality = sweep_tables.quality(found, names)
    texts = len(axes) + sum(name in ("verdict", "judge", "extractor") for name in quality.head)
    return [
        Section("Bytes moved until the target", [*_over_numbers(found, axes, places), *targets]),
        Section("Clients", spread),
        Section("Each client alone", each),
        Section("Images and skew of the clients", held),
        Section("Are the images good?", _told(_QUALITY, quality, texts, "No images were evaluated.")),
    ]


def _told(told: str, table: Table, texts: int, without: str) -> list[Part]:
    return [Text(told), Shown(table, texts)] if table.rows else [Text(without)]


def _over_numbers(found: SweepSummary, axes: Mapping[str, Sequence[str]], places: Places) -> list[Part]:
    """Return charts of bytes along the first axis that has several values, all of them numbers."""
    axis = next((name for name, values in axes.items() if len(values) > 1 and all(map(_is_number, values))), None)
    if axis is None:
        return []
    made = ((budget, sweep_charts.costs(of, axis, places)) for budget, of in _by_budget(found).items())
    return [_first_open(budget, found, Charts(charts, wide=True)) for budget, charts in made if charts]


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


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
