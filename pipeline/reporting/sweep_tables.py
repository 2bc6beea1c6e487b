"""The tables of a sweep's page: differences, bytes until the target, clients, skew and images, in each setting."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from pipeline.reporting.charts.markup import element
from pipeline.reporting.statistics import Difference
from pipeline.reporting.sweep_summary import SweepSummary
from pipeline.reporting.tables import Table
from pipeline.reporting.verdict import named, p_text, replicates

Line = Mapping[str, Any]
"""A row of the table of results."""
KEYS = ("fill", "algorithm", "budget")
_CLIENTS = ("clients_mean", "clients_deviation", "clients_worst_tenth", "clients_best_tenth", "clients_worst")
_SKEWS = ("hellinger", "jensen_shannon", "total_variation", "effective_classes", "missing_cells", "gini")


def differences(found: SweepSummary, axes: Sequence[str], roles: Sequence[str]) -> Table:
    """Return the differences from controls of these roles, with interval, p and replicates; bold only if they agree."""
    rows = []
    for setting in found.settings:
        for one in (one for one in setting.comparisons if one.role in roles):
            control = named(one.control_algorithm, one.control)
            shown = f"best: {control}" if one.role == "best" else control
            keys = (
                *(setting.axes[axis] for axis in axes),
                setting.algorithm,
                f"equal {setting.budget}",
                one.fill,
                shown,
            )
            rows.append((*keys, *_difference(one.difference)))
    head = (*axes, "algorithm", "budget", "fill", "control", "difference, points", "95 % interval", "p", "replicates")
    return Table("", head, tuple(rows))


def _difference(one: Difference) -> tuple[str, ...]:
    mean = f"{100 * one.mean:+.1f}"
    known = one.low is not None and one.high is not None
    interval = f"{100 * (one.low or 0):+.1f} to {100 * (one.high or 0):+.1f}" if known else "-"
    p = "-" if one.p is None else p_text(one.p).removeprefix("= ")
    shown = element("b", mean) if one.clear else mean
    return shown, interval, p, replicates(one.partitions, one.replicates)


def targets(lines: Sequence[Line], axes: Sequence[str]) -> Table:
    """Return how many runs reach the target, and rounds and megabytes, means over those that do; the others are said."""
    rows = []
    for keys, runs in grouped(lines, (*axes, *KEYS)):
        aims = {round(100 * run["target"], 1) for run in runs if run.get("target") is not None}
        if not aims:
            continue
        reached = [run for run in runs if run.get("target_round") is not None]
        aim = f"{min(aims):g}" if len(aims) == 1 else f"{min(aims):g} to {max(aims):g}"
        last = min(run["rounds"] for run in runs)
        missed = "" if len(reached) == len(runs) else f" (others not by round {last})"
        spent = ("not reached", "-")
        if reached:
            spent = (f"{mean(reached, 'target_round'):.1f}{missed}", f"{mean(reached, 'target_bytes', 1e6):,.1f}")
        elif missed:
            spent = (f"not by round {last}", "-")
        rows.append((*keys, aim, f"{len(reached)} of {len(runs)}", *spent))
    return Table(
        "", (*axes, *KEYS, "target, %", "runs that reach it", "round", "MB, all clients, both ways"), tuple(rows)
    )


def clients(lines: Sequence[Line], axes: Sequence[str]) -> Table:
    """Return the distribution of accuracy over clients in percent, each number a mean over runs."""
    rows = []
    for keys, runs in grouped(lines, (*axes, *KEYS)):
        known = [run for run in runs if run.get("clients_mean") is not None]
        if known:
            shown = (f"{100 * mean(known, name):.1f}" for name in _CLIENTS)
            rows.append((*keys, *shown, str(len(known))))
    head = (*axes, *KEYS, "mean", "deviation", "worst 10 %", "best 10 %", "worst", "runs")
    return Table("", head, tuple(rows))


def holdings(lines: Sequence[Line], axes: Sequence[str]) -> Table:
    """Return images and skew of what clients hold, before and with each fill, means over the partitions."""
    rows = []
    for keys, runs in grouped(lines, (*axes, "fill")):
        counts = (_count(runs, name) for name in ("images_real", "images_added", "images_dropped"))
        skews = (f"{_number(runs, f'real_{name}')} / {_number(runs, f'skew_{name}')}" for name in _SKEWS[1:5])
        rows.append((*keys, *counts, *skews))
    names = (name.replace("_", " ") for name in _SKEWS[1:5])
    head = (*axes, "fill", "real images", "added", "dropped", *(f"{name}, before / with" for name in names))
    return Table("", head, tuple(rows))


def quality(lines: Sequence[Line], axes: Sequence[str]) -> Table:
    """Return what was measured of the images, means over the cells of each setting; no row if nothing was."""
    names = [name for name in (lines[0] if lines else {}) if name.startswith("quality_")]
    numbers = [name for name in names if any(isinstance(line.get(name), int | float) for line in lines)]
    found = grouped(lines, axes) if numbers else ()
    rows = [(*keys, *(_number(runs, name, 3) for name in numbers)) for keys, runs in found]
    head = (*axes, *(name.removeprefix("quality_").replace("_", " ") for name in numbers))
    return Table("", head, tuple(rows))


def grouped(lines: Sequence[Line], names: Sequence[str]) -> Iterator[tuple[tuple[str, ...], list[Line]]]:
    """Yield the lines of each combination of values, in the order in which they first appear."""
    found: dict[tuple[str, ...], list[Line]] = {}
    for line in lines:
        found.setdefault(tuple(str(line.get(name, "-")) for name in names), []).append(line)
    yield from found.items()


def mean(runs: Sequence[Line], name: str, unit: float = 1.0) -> float:
    """Return the mean of a column."""
    return float(np.mean([run[name] for run in runs])) / unit


def _count(runs: Sequence[Line], name: str) -> str:
    return _shown(runs, name, lambda value: f"{value:,.0f}")


def _number(runs: Sequence[Line], name: str, digits: int = 2) -> str:
    return _shown(runs, name, lambda value: f"{value:.{digits}f}")


def _shown(runs: Sequence[Line], name: str, shown: Callable[[float], str]) -> str:
    known = [run for run in runs if isinstance(run.get(name), int | float)]
    return shown(mean(known, name)) if known else "-"
