"""The history of training runs: what every round did, who took part in it, and how good the global model then was."""

import csv
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline import atomic, printable
from pipeline.errors import ArtifactError

_REDO = "run: dvc repro -f train"


@dataclass(frozen=True, slots=True)
class Participation:
    """What one client did in one round that it took part in."""

    client: int
    samples: int
    """Images that went through its local training."""
    steps: int
    """Its local SGD steps."""
    bytes_down: int
    """Sent to it."""
    bytes_up: int
    """Sent by it."""


@dataclass(frozen=True, slots=True)
class Round:
    """One round of one run; accuracies and loss are None if its weights were not tested."""

    number: int
    """From 1."""
    participants: tuple[Participation, ...]
    """In order of client."""
    accuracy: float | None = None
    """Of the global model on the whole test split, 0 to 1."""
    loss: float | None = None
    """Mean cross-entropy on the test split."""
    by_class: tuple[float | None, ...] | None = None
    """Accuracy on the test images of each class; None inside for a class without any."""

    @property
    def samples(self) -> int:
        """Images that went through local training, of all clients together."""
        return sum(one.samples for one in self.participants)

    @property
    def steps(self) -> int:
        """Local SGD steps, of all clients together."""
        return sum(one.steps for one in self.participants)

    @property
    def bytes_down(self) -> int:
        return sum(one.bytes_down for one in self.participants)

    @property
    def bytes_up(self) -> int:
        return sum(one.bytes_up for one in self.participants)


@dataclass(frozen=True)
class RunHistory:
    """All rounds of one run."""

    fill: str
    algorithm: str
    budget: str
    """``epochs`` or ``steps``."""
    seed: int
    rounds: tuple[Round, ...]

    @property
    def tested(self) -> list[Round]:
        """The rounds that have an accuracy."""
        return [done for done in self.rounds if done.accuracy is not None]


_KEYS = ("fill", "algorithm", "budget", "seed", "round")
_COLUMNS = (*_KEYS, "accuracy", "loss", "samples", "steps", "bytes_down", "bytes_up")
_PARTICIPANTS = "participants.parquet"
_PARTICIPANT_TYPES = {"budget": pa.string(), "seed": pa.int64(), "round": pa.int32(), "client": pa.int32()} | {
    field.name: pa.int64() for field in fields(Participation)[1:]
}


def save(folder: Path, runs: Sequence[RunHistory], class_names: Sequence[str], counts: NDArray[np.int64]) -> None:
    """Write the histories of one fill and algorithm.

    ``history.csv`` has a line for each run and round; ``participants.parquet`` a row for each run, round and client
    that took part; ``classes.csv`` and ``clients.csv`` the accuracy by class and by client of every tested round;
    ``metrics.json`` the figures that DVC shows. ``counts`` are the clients' real images, (clients, classes).
    """
    tested = [(run, done, done.by_class) for run in runs for done in run.tested if done.by_class is not None]
    with _csv(folder / "history.csv", _COLUMNS) as writer:
        writer.writerows(_line(run, done) for run in runs for done in run.rounds)
    with _csv(folder / "classes.csv", ["budget", "seed", "round", *map(printable.csv_cell, class_names)]) as writer:
        writer.writerows([run.budget, run.seed, done.number, *shares] for run, done, shares in tested)
    with _csv(folder / "clients.csv", ["budget", "seed", "round", *range(len(counts))]) as writer:
        for run, done, shares in tested:
            seen = [None if np.isnan(share) else round(float(share), 4) for share in for_clients(shares, counts)]
            writer.writerow([run.budget, run.seed, done.number, *seen])
    columns = list(zip(*_participations(runs), strict=True)) or [()] * len(_PARTICIPANT_TYPES)
    arrays = [pa.array(values, kind) for values, kind in zip(columns, _PARTICIPANT_TYPES.values(), strict=True)]
    with atomic.replacing(folder / _PARTICIPANTS) as temporary:
        pq.write_table(pa.table(arrays, names=list(_PARTICIPANT_TYPES)), temporary, compression="zstd")
    atomic.write_text(folder / "metrics.json", json.dumps(_metrics(runs, counts), indent=2) + "\n")


@contextmanager
def _csv(path: Path, head: Iterable[object]) -> Iterator[Any]:
    """Yield the writer of a CSV file that has its head already."""
    with atomic.replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(head)
        yield writer


def _line(run: RunHistory, done: Round) -> list[object]:
    keys = [run.fill, run.algorithm, run.budget, run.seed, done.number]
    return [*keys, *(getattr(done, name) for name in _COLUMNS[len(_KEYS) :])]


def _participations(runs: Sequence[RunHistory]) -> Iterator[tuple[object, ...]]:
    for run in runs:
        for done in run.rounds:
            for one in done.participants:
                yield run.budget, run.seed, done.number, *(getattr(one, f.name) for f in fields(Participation))


def load(folder: Path) -> list[RunHistory]:
    """Read what ``save`` wrote; raise ArtifactError if a file is missing, damaged, or does not match the others."""
    path, by_class = folder / "history.csv", _read_table(folder / "classes.csv")
    participants = _read_participants(folder / _PARTICIPANTS)
    runs: dict[tuple[str, str, str, int], list[Round]] = {}
    with _reading(path), path.open(newline="", encoding="utf-8") as file:
        for line in csv.DictReader(file, strict=True):
            key = line["budget"], int(line["seed"]), int(line["round"])
            done = _round(line, by_class.pop(key, None), tuple(participants.pop(key, ())))
            if any(int(line[name]) != getattr(done, name) for name in _COLUMNS[-4:]):
                raise ArtifactError(f"does not match {_PARTICIPANTS} in round {key[2]}", path, _REDO)
            rounds = runs.setdefault((line["fill"], line["algorithm"], *key[:2]), [])
            rounds.append(done)
            if done.number != len(rounds):
                raise ValueError(f"round {done.number} where round {len(rounds)} is expected")
            if done.by_class is not None and done.accuracy is None:
                raise ArtifactError(f"does not match classes.csv in round {key[2]}", path, _REDO)
    if not runs:
        raise ArtifactError("holds no round", path, _REDO)
    if len({key[:2] for key in runs}) > 1:
        raise ArtifactError("holds runs of more than one fill or algorithm", path, _REDO)
    for name, left in (("classes.csv", by_class), (_PARTICIPANTS, participants)):
        if left:
            budget, seed, number = min(left)
            raise ArtifactError(f"has no round {number} of {budget}, seed {seed}, but {name} does", path, _REDO)
    return [RunHistory(*key, tuple(rounds)) for key, rounds in runs.items()]


def load_clients(folder: Path) -> dict[tuple[str, int, int], tuple[float | None, ...]]:
    """Return the accuracy that each client would see, by budget, seed and round, for every tested round."""
    return _read_table(folder / "clients.csv")


def _round(line: Mapping[str, str], by_class: Any, participants: tuple[Participation, ...]) -> Round:
    accuracy, loss = (float(line[name]) if line[name] else None for name in ("accuracy", "loss"))
    return Round(int(line["round"]), participants, accuracy, loss, by_class)


def _read_table(path: Path) -> dict[tuple[str, int, int], tuple[float | None, ...]]:
    """Return the shares of each line by its budget, seed and round."""
    found: dict[tuple[str, int, int], tuple[float | None, ...]] = {}
    with _reading(path), path.open(newline="", encoding="utf-8") as file:
        lines = csv.reader(file, strict=True)
        head = next(lines, [])
        if head[:3] != ["budget", "seed", "round"]:
            raise ValueError(f"columns {head[:3]}")
        for line in lines:
            if len(line) != len(head):
                raise ValueError(f"{len(line)} of {len(head)} columns")
            key = line[0], int(line[1]), int(line[2])
            if key in found:
                raise ValueError(f"{key} twice")
            found[key] = tuple(float(share) if share else None for share in line[3:])
    return found


def _read_participants(path: Path) -> dict[tuple[str, int, int], list[Participation]]:
    found: dict[tuple[str, int, int], list[Participation]] = {}
    with _reading(path):
        table = pq.read_table(path, partitioning=None)  # else folders named like alpha=0.5 become columns
        if not table.schema.equals(pa.schema(_PARTICIPANT_TYPES.items())) or any(c.null_count for c in table.columns):
            raise ValueError("columns of other names or types, or with missing values")
        for budget, seed, number, *rest in zip(*table.to_pydict().values(), strict=True):
            found.setdefault((budget, seed, number), []).append(Participation(*rest))
    return found


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise ArtifactError("no such file", path, "run: dvc repro train") from None
    except (csv.Error, KeyError, ValueError, TypeError, pa.ArrowException, OSError) as error:
        raise ArtifactError(f"damaged ({error!r})", path, _REDO) from None


def for_clients(by_class: Sequence[float | None], counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the accuracy that each client would see, (clients,): by class, weighted by its own labels.

    ``counts`` are the clients' real images, (clients, classes). Not a number for a client without a tested image.
    """
    known = np.array([share is not None for share in by_class])
    shares = np.array([0.0 if share is None else share for share in by_class])
    seen = counts * known
    with np.errstate(invalid="ignore"):
        accuracy: NDArray[np.float64] = seen @ shares / seen.sum(axis=1)
    return accuracy


def _metrics(runs: Sequence[RunHistory], counts: NDArray[np.int64]) -> dict[str, dict[str, Any]]:
    """Return each run's final and best accuracy, their mean, and the spread over clients, by budget.

    The spread is the least, median and greatest accuracy over clients (see ``for_clients``) of the final weights, mean
    over seeds. A run without a tested round has no entry.
    """
    metrics: dict[str, dict[str, Any]] = {}
    spreads: dict[str, list[NDArray[np.float64]]] = {}
    for run in runs:
        section = metrics.setdefault(run.budget, {"final_accuracy": {}, "best_accuracy": {}})
        tested = run.tested
        if not tested:
            continue
        last = tested[-1]
        section["final_accuracy"][f"seed {run.seed}"] = round(last.accuracy or 0.0, 4)
        section["best_accuracy"][f"seed {run.seed}"] = round(max(done.accuracy or 0.0 for done in tested), 4)
        accuracies = for_clients(last.by_class or [None] * counts.shape[1], counts)
        if not np.isnan(accuracies).all():
            spreads.setdefault(run.budget, []).append(np.nanquantile(accuracies, [0, 0.5, 1]))
    for budget, section in metrics.items():
        finals = section["final_accuracy"].values()
        if finals:
            section["mean_final_accuracy"] = round(sum(finals) / len(finals), 4)
        if budget in spreads:
            values = np.mean(spreads[budget], axis=0).round(4).tolist()
            section["client_accuracy"] = dict(zip(("least", "median", "greatest"), values, strict=True))
    return metrics
