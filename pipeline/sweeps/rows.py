"""A cell's rows of the two tables, from what its stages left: one for each run, and one for each tested round."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline import atomic
from pipeline.artifacts import alone, deficits, history, holdings, partition, quality
from pipeline.artifacts.history import RunHistory
from pipeline.artifacts.partition import Partition
from pipeline.clients import skew
from pipeline.params import Params
from pipeline.reporting import kinds, measures
from pipeline.reporting.skew import BEFORE
from pipeline.sweeps import columns
from pipeline.workspace import Workspace

Row = dict[str, Any]
Int64 = NDArray[np.int64]
_DECIMALS = 4
_VERDICT = f"{columns.QUALITY}verdict"


def write(workspace: Workspace, params: Params, results: Path, curves: Path) -> None:
    """Write the rows of a finished cell; raise ArtifactError if a stage's output is missing or damaged."""
    runs = [run for fill, algorithm in params.train.pairs() for run in history.load(workspace.run(fill, algorithm))]
    described = _quality(workspace)
    schema = columns.RESULTS | {name: pa.float64() if name != _VERDICT else pa.string() for name in described}
    targets = _targets(runs, params.report.target_accuracy)
    split = partition.load(workspace.partition)
    fills = _fills(workspace, params, split)
    made = [
        {
            "partition_digest": split.digest(),
            **_key(run),
            **fills[run.fill],
            **_rounded(measures.measure(run, _clients(workspace, run)).columns()),
            **_reach(run, targets.get((run.algorithm, run.budget))),
            **_alone(workspace, params, run),
            **described,
        }
        for run in runs
    ]
    save(results, made, schema)
    save(curves, [row for run in runs for row in _curve(run)], columns.CURVES)


def save(path: Path, rows: Sequence[Row], schema: Mapping[str, pa.DataType]) -> None:
    """Write rows as a Parquet file: the whole file or nothing. A key that the schema lacks is an error of ours."""
    assert all(row.keys() <= schema.keys() for row in rows), sorted({key for row in rows for key in row} - {*schema})
    with atomic.replacing(path) as temporary:
        pq.write_table(pa.Table.from_pylist(list(rows), pa.schema(list(schema.items()))), temporary, compression="zstd")


def _rounded(found: Mapping[str, float | int | None]) -> Row:
    """Return numbers with the digits that mean something: tests are rounded to as many."""
    return {name: round(value, 6) if isinstance(value, float) else value for name, value in found.items()}


def _key(run: RunHistory) -> Row:
    return {"train_seed": run.seed, "fill": run.fill, "algorithm": run.algorithm, "budget": run.budget}


def _clients(workspace: Workspace, run: RunHistory) -> dict[int, tuple[float | None, ...]]:
    """Return the accuracy that each client would see, by round."""
    found = history.load_clients(workspace.run(run.fill, run.algorithm))
    return {
        number: shares for (budget, seed, number), shares in found.items() if (budget, seed) == (run.budget, run.seed)
    }


def _targets(runs: Sequence[RunHistory], chosen: float | None) -> dict[tuple[str, str], float]:
    """Return the accuracy whose cost is measured, by algorithm and budget: the chosen one, or what no fill reaches.

    That is the mean over seeds of the primary number of the runs without a fill.
    """
    found: dict[tuple[str, str], list[float]] = {}
    for run in runs:
        if chosen is not None or (run.fill == BEFORE and run.tested):
            value = chosen if chosen is not None else measures.measure(run).primary
            found.setdefault((run.algorithm, run.budget), []).append(value)
    return {key: sum(values) / len(values) for key, values in found.items()}


def _reach(run: RunHistory, target: float | None) -> Row:
    if target is None:
        return dict.fromkeys(columns.TARGET)
    reached = measures.reach(run, target)
    return {
        "target": round(target, 6),
        "target_round": reached and reached.round,
        "target_bytes": reached and reached.bytes,
    }


def _alone(workspace: Workspace, params: Params, run: RunHistory) -> Row:
    """Return how good clients are that train by themselves with the fill, budget and seed of a run."""
    if run.fill not in params.train.alone:
        return dict.fromkeys(columns.ALONE)
    found = [one for one in alone.load(workspace.alone(run.fill)) if (one.budget, one.seed) == (run.budget, run.seed)]
    own = [one.own for one in found if one.own is not None]
    return {
        "alone_own": round(float(np.mean(own)), 6) if own else None,
        "alone_whole": round(float(np.mean([one.whole for one in found])), 6) if found else None,
    }


def _curve(run: RunHistory) -> Iterator[Row]:
    moved = 0
    for done in run.rounds:
        moved += done.bytes_down + done.bytes_up
        if done.accuracy is not None:
            yield {**_key(run), "round": done.number, "accuracy": done.accuracy, "bytes": moved}


def _fills(workspace: Workspace, params: Params, split: Partition) -> dict[str, Row]:
    """Return what each fill is, how many images it adds and how skewed clients then are."""
    real = split.counts()
    dropped = getattr(deficits.load(workspace.deficits), "surplus", None)
    shared = {
        "images_real": int(real.sum()),
        "images_dropped": 0 if dropped is None else int(dropped.sum()),
        **_skew("real", real),
    }
    return {name: {**shared, **_fill(workspace, name, split)} for name in params.train.all_fills()}


def _fill(workspace: Workspace, name: str, split: Partition) -> Row:
    held = holdings.load(workspace.fill(name))
    added = int(held.counts.sum()) - int(split.counts().sum())
    skewed = _skew("skew", held.counts) if held.counts.any() else {}
    return {"kind": kinds.of(held, split), "images_added": added, **skewed}


def _skew(when: str, counts: Int64) -> Row:
    found = asdict(skew.skew(counts))
    return {f"{when}_{name}": round(found[name], _DECIMALS) for name in columns.SKEW}


def _quality(workspace: Workspace) -> Row:
    """Return the overall numbers of the evaluation of the images, nothing if there was none."""
    if not workspace.quality.is_file():
        return {}
    whole = quality.load(workspace.quality).whole
    found: Row = {"verdict": whole.verdict, "agreement": whole.agreement, "judge_accuracy": whole.judge_accuracy}
    for name in ("synthetic", "real", "both"):
        spread = getattr(whole.usefulness, name)
        found[f"usefulness_{name}"] = spread and spread.mean
    for one in whole.distances:
        found |= {one.name.replace("-", "_"): one.value, f"{one.name.replace('-', '_')}_floor": one.floor}
    images = max(whole.copies.images, 1)
    found |= {
        "near_duplicates": whole.copies.near / images,
        "training_copies": whole.copies.training / images,
        "refused": whole.flags.refused,
    }
    return {f"{columns.QUALITY}{name}": value for name, value in found.items()}
