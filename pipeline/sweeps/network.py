"""The times of a sweep's runs on the profiles of the network, replayed from the histories of its finished cells.

Profiles train nothing, so they are no axis: all are replayed from the same runs, whenever the page is written.
"""

from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from pipeline.artifacts import history, holdings, manifest, partition
from pipeline.evaluation.network.replay import networks
from pipeline.params import Params
from pipeline.reporting.network import one_off, ranges, timed
from pipeline.reporting.network.clock import Clock
from pipeline.reporting.network.durations import HOUR
from pipeline.sweeps import columns, grid, rows
from pipeline.sweeps.carry_out import workspace_of
from pipeline.sweeps.runner import Plan
from pipeline.workspace import Workspace

COLUMNS = {
    **{name: kind for name, kind in columns.RUN.items() if name != "kind"},
    "partition_digest": pa.string(),
    "profile": pa.string(),
    "target": pa.float64(),
    **dict.fromkeys(("hours", "hours_low", "hours_high", "before_hours", "round_seconds", "late"), pa.float64()),
}
"""Hours are the median over draws, and the ends of their middle 90 %; missing if the run never reaches the target."""


def table(plan: Plan) -> pa.Table:
    """Return a row for each run and profile of the cells that are done; central runs have no rounds, so no row.

    Raises ArtifactError if what a cell kept is damaged, ParameterError if a profile cannot be used.
    """
    axes, made = grid.shown_axes(plan.sweep, list(plan.cells)), list[dict[str, Any]]()
    for cell in plan.cells:
        place = plan.place(cell) if cell.digest in plan.numbers else None
        if place is None or place.made_with(cell) is None:
            continue
        keys = {
            "cell": place.number,
            **{name: cell.labels[name] for name in axes},
            "partition_seed": cell.partition_seed,
        }
        made += [{**keys, **row} for row in _cell(workspace_of(plan.project, place), cell.params)]
    kinds = {"cell": pa.int64(), **dict.fromkeys(axes, pa.string()), **columns.PARTITION, **COLUMNS}
    return pa.Table.from_pylist(made, pa.schema(list(kinds.items())))


def _cell(workspace: Workspace, params: Params) -> Iterator[dict[str, Any]]:
    """Yield the rows of one cell."""
    clocks = [
        Clock(one, params.network.image_seconds)
        for one in networks(params.network, params.training_seed, workspace.at(""))
    ]
    shards, split = manifest.load(workspace.manifest), partition.load(workspace.partition)
    runs = [
        run
        for name in params.train.fills
        for algorithm in params.train.algorithms
        for run in history.load(workspace.run(name, algorithm))
    ]
    targets = rows.targets_of(runs, params.report.target_accuracy)
    sent = {name: one_off.images(holdings.load(workspace.fill(name)), shards) for name in params.train.fills}
    for run in runs:
        for clock in clocks:
            made = _row(run, clock, sent[run.fill], targets.get((run.algorithm, run.budget)))
            yield {"partition_digest": split.digest(), **made}


def _row(run: history.RunHistory, clock: Clock, once: one_off.OneOff, target: float | None) -> dict[str, Any]:
    found, at = clock.rounds(run), (0, 0)
    before = clock.before(once, found.draws)
    until = None if target is None else ranges.over(timed.to_target({at: found}, target, {at: before}))
    hours = (None,) * 3 if until is None else tuple(_hours(one) for one in (until.median, until.low, until.high))
    return {
        **{"train_seed": run.seed, "fill": run.fill, "algorithm": run.algorithm, "budget": run.budget},
        "profile": clock.profile,
        "target": None if target is None else round(target, 6),
        **dict(zip(("hours", "hours_low", "hours_high"), hours, strict=True)),
        "before_hours": _hours(ranges.over({at: before}).median) if once.clients.any() else None,
        "round_seconds": ranges.over({at: found.ends[:, -1] / len(run.rounds)}).median,
        "late": round(float(found.late.mean()), 4),
    }


def _hours(seconds: float | None) -> float | None:
    return None if seconds is None else float(f"{seconds / HOUR:.6g}")
