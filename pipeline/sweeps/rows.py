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
from pipeline.artifacts import alone, history, holdings, manifest, partition, quality
from pipeline.artifacts.history import RunHistory
from pipeline.artifacts.holdings import Holdings
from pipeline.artifacts.partition import Partition
from pipeline.params import Params
from pipeline.reporting import kinds, measures, singles, skew
from pipeline.reporting.measures import RunMeasures
from pipeline.reporting.skew import BEFORE
from pipeline.sweeps import columns
from pipeline.workspace import Workspace

Row = dict[str, Any]
Int64 = NDArray[np.int64]
ClientShares = Mapping[int, Sequence[float | None]]


def write(workspace: Workspace, params: Params, results: Path, curves: Path) -> None:
    """Write the rows of a finished cell; raise ArtifactError if a stage's output is missing or damaged."""
    runs = [run for fill, algorithm in params.train.pairs() for run in history.load(workspace.run(fill, algorithm))]
    split, described = partition.load(workspace.partition), _quality(workspace)
    schema = columns.RESULTS | {
        name: pa.string() if name in columns.QUALITY_TEXTS else pa.float64() for name in described
    }
    sent = measures.sent(runs) * split.client_count
    targets = targets_of(runs, params.report.target_accuracy)
    fills = _fills(workspace, params, split)
    made = list[Row]()
    for run in runs:
        clients, central = _clients(workspace, run), run.fill in params.train.references
        found, target = measures.measure(run, clients), targets.get((run.algorithm, run.budget))
        reached = None if target is None else _reach(run, target, sent if central else None)
        made.append({
            "partition_digest": split.digest(),
            **_key(run),
            "central": central,
            **fills[run.fill],
            **_rounded(found.columns()),
            **(reached or {}),
            **_alone(workspace, params, run, found, clients),
            **described,
        })  # fmt: skip
    save(results, made, schema)
    save(curves, [row for run in runs for row in _curve(run)], columns.CURVES)


def save(path: Path, rows: Sequence[Row], schema: Mapping[str, pa.DataType]) -> None:
    """Write rows as a Parquet file: the whole file or nothing. A key that the schema lacks is an error of ours."""
    assert all(row.keys() <= schema.keys() for row in rows), sorted({key for row in rows for key in row} - {*schema})
    with atomic.replacing(path) as temporary:
        pq.write_table(pa.Table.from_pylist(list(rows), pa.schema(list(schema.items()))), temporary, compression="zstd")


def _rounded(found: Mapping[str, Any]) -> Row:
    """Return numbers with the digits that mean something: tests are rounded to as many."""
    return {name: round(value, 6) if isinstance(value, float) else value for name, value in found.items()}


def _key(run: RunHistory) -> Row:
    return {"train_seed": run.seed, "fill": run.fill, "algorithm": run.algorithm, "budget": run.budget}


def _clients(workspace: Workspace, run: RunHistory) -> ClientShares:
    """Return the accuracy that each client would see, by round."""
    found = history.load_clients(workspace.run(run.fill, run.algorithm))
    return {
        number: shares for (budget, seed, number), shares in found.items() if (budget, seed) == (run.budget, run.seed)
    }


def targets_of(runs: Sequence[RunHistory], chosen: float | None) -> dict[tuple[str, str], float]:
    """Return the accuracy whose cost is measured, by algorithm and budget: the chosen one, or what no fill reaches.

    That is the mean over seeds of the primary number of the runs without a fill.
    """
    found: dict[tuple[str, str], list[float]] = {}
    for run in runs:
        if chosen is not None or (run.fill == BEFORE and run.tested):
            value = chosen if chosen is not None else measures.measure(run).primary
            found.setdefault((run.algorithm, run.budget), []).append(value)
    return {key: sum(values) / len(values) for key, values in found.items()}


def _reach(run: RunHistory, target: float, sent: int | None) -> Row:
    """Return when a run reached the target; ``sent`` are the bytes of a central run's weights to all clients."""
    reached = measures.reach(run, target) if sent is None else measures.reach_once(run, target, sent)
    return {
        "target": round(target, 6),
        "target_round": reached and reached.round,
        "target_bytes": reached and (reached.bytes or None),  # 0: no federated run says how large weights are
    }


def _alone(workspace: Workspace, params: Params, run: RunHistory, found: RunMeasures, clients: ClientShares) -> Row:
    """Return how good clients are that train by themselves with the fill, budget and seed of a run.

    ``found`` and ``clients`` are the numbers of that run, and the accuracy that each client then saw, by round.
    """
    if run.fill not in params.train.alone:
        return {}
    models = [one for one in alone.load(workspace.alone(run.fill)) if (one.budget, one.seed) == (run.budget, run.seed)]
    if not models:
        return {}
    spread = measures.spread([one.own for one in models])
    own, whole = singles.better_off(measures.of_clients(run, clients), found.primary, models)
    return _rounded({
        "alone_own": spread and spread.mean,
        "alone_whole": float(np.mean([one.whole for one in models])),
        "alone_better": own,
        "alone_better_whole": whole,
        **({f"alone_clients_{name}": value for name, value in asdict(spread).items()} if spread else {}),
    })  # fmt: skip


def _curve(run: RunHistory) -> Iterator[Row]:
    moved = 0
    for done in run.rounds:
        moved += done.bytes_down + done.bytes_up
        if done.accuracy is not None:
            yield {**_key(run), "round": done.number, "accuracy": done.accuracy, "bytes": moved}


def _fills(workspace: Workspace, params: Params, split: Partition) -> dict[str, Row]:
    """Return what each fill is, how many images and bytes of images it adds and how skewed clients then are."""
    real = split.counts()
    shared = {"images_real": int(real.sum()), **_skew(params, real, real="clients")}
    shards = sum(shard.bytes for shard in manifest.load(workspace.manifest).shards)
    return {name: {**shared, **_fill(workspace, params, name, split, shards)} for name in params.train.all_fills()}


def _fill(workspace: Workspace, params: Params, name: str, split: Partition, shards: int) -> Row:
    """Return what a fill is; ``shards`` are the bytes of all clients' shards."""
    held = holdings.load(workspace.fill(name))
    kind, kept = kinds.of(held, split), _kept(held, split)
    return {
        "kind": kind,
        "images_added": int(held.counts.sum()) - kept,
        "images_dropped": int(split.counts().sum()) - kept,
        "image_bytes": shards if kind == "synthetic" else 0,
        **(_skew(params, held.counts, skew="clients", floor="iid") if held.counts.any() else {}),
    }


def _kept(held: Holdings, split: Partition) -> int:
    """Return how many of the partition's images somebody trains on, each counted once."""
    real = [
        rows for name, of_all in held.rows.items() if held.sources[name].array == split.source.array for rows in of_all
    ]
    return len(np.intersect1d(np.concatenate([np.empty(0, np.int64), *real]), np.concatenate(split.by_client())))


def _skew(params: Params, counts: Int64, **wanted: str) -> Row:
    """Return the skew of clients that hold these images: by what columns begin with, that of them or of IID ones."""
    found = skew.measure("", counts, params.seed)
    return {
        f"{when}_{name}": getattr(getattr(found, whose), name)
        for when, whose in wanted.items()
        for name in columns.SKEW
    }


def _quality(workspace: Workspace) -> Row:
    """Return the overall numbers of the evaluation of the images, nothing if there was none."""
    if not workspace.quality.is_file():
        return {}
    report = quality.load(workspace.quality)
    whole, models = report.whole, {"judge": report.judge, "extractor": report.extractor}
    found: Row = {name: f"{model.name} {model.digest}" for name, model in models.items()}
    found |= {"verdict": whole.verdict, "agreement": whole.agreement, "judge_accuracy": whole.judge_accuracy}
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
