"""The history of training runs: what every round did, who took part in it, and how good the global model then was."""

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from itertools import pairwise
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

    @property
    def dropped(self) -> bool:
        """Whether it dropped out: it received, but nothing of it arrived."""
        return self.bytes_up == 0 and self.bytes_down > 0


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
    averaged: float | None = None
    """Accuracy of the average of the global weights of the run's last rounds, as in WIMA (Caldarola et al., 2023); None
    except in a run's last round."""

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
    last_rounds: int = 10
    """How many rounds at a run's end its accuracy is the mean over; 1 for a central run."""

    @property
    def tested(self) -> list[Round]:
        """The rounds that have an accuracy."""
        return [done for done in self.rounds if done.accuracy is not None]

    @property
    def last(self) -> list[Round]:
        """The tested rounds among the last ``last_rounds``: all of these, unless a target ended the run early."""
        return [done for done in self.rounds[-self.last_rounds :] if done.accuracy is not None]

    @property
    def primary(self) -> float | None:
        """The run's accuracy: the mean over its last rounds. One round alone would depend on the phase of its ups and
        downs, and the best round selects on the test set.
        """
        values = [done.accuracy for done in self.last if done.accuracy is not None]
        return sum(values) / len(values) if values else None

    @property
    def final(self) -> float | None:
        """Accuracy after the last round."""
        return self.rounds[-1].accuracy if self.rounds else None

    @property
    def averaged(self) -> float | None:
        """Accuracy of the average of the last rounds' weights."""
        return self.rounds[-1].averaged if self.rounds else None


def reached(rounds: Iterable[Round], target: float) -> Round | None:
    """Return the first of two tested rounds in a row that are at or above a target; None if there are none.

    One test above the target can be luck: accuracy goes up and down from round to round.
    """
    tested = [done for done in rounds if done.accuracy is not None]
    for first, second in pairwise(tested):
        if min(first.accuracy or 0.0, second.accuracy or 0.0) >= target:
            return first
    return None


_KEYS = ("fill", "algorithm", "budget", "seed", "last_rounds", "round")
_COLUMNS = (*_KEYS, "accuracy", "averaged", "loss", "samples", "steps", "bytes_down", "bytes_up")
_PARTICIPANTS = "participants.parquet"
_PARTICIPANT_TYPES = {"budget": pa.string(), "seed": pa.int64(), "round": pa.int32(), "client": pa.int32()} | {
    field.name: pa.int64() for field in fields(Participation)[1:]
}


def save(folder: Path, runs: Sequence[RunHistory], class_names: Sequence[str], counts: NDArray[np.int64]) -> None:
    """Write the histories of one fill and algorithm.

    ``history.csv`` has a line for each run and round; ``participants.parquet`` a row for each run, round and client
    that took part; ``classes.csv`` and ``clients.csv`` the accuracy by class and by client of every tested round.
    ``counts`` are the clients' real images, (clients, classes).
    """
    tested = [(run, done, done.by_class) for run in runs for done in run.tested if done.by_class is not None]
    with writing(folder / "history.csv", _COLUMNS) as writer:
        writer.writerows(_line(run, done) for run in runs for done in run.rounds)
    with writing(folder / "classes.csv", ["budget", "seed", "round", *map(printable.csv_cell, class_names)]) as writer:
        writer.writerows([run.budget, run.seed, done.number, *shares] for run, done, shares in tested)
    with writing(folder / "clients.csv", ["budget", "seed", "round", *range(len(counts))]) as writer:
        for run, done, shares in tested:
            seen = [None if np.isnan(share) else round(float(share), 4) for share in for_clients(shares, counts)]
            writer.writerow([run.budget, run.seed, done.number, *seen])
    columns = list(zip(*_participations(runs), strict=True)) or [()] * len(_PARTICIPANT_TYPES)
    arrays = [pa.array(values, kind) for values, kind in zip(columns, _PARTICIPANT_TYPES.values(), strict=True)]
    with atomic.replacing(folder / _PARTICIPANTS) as temporary:
        pq.write_table(pa.table(arrays, names=list(_PARTICIPANT_TYPES)), temporary, compression="zstd")


@contextmanager
def writing(path: Path, head: Iterable[object]) -> Iterator[Any]:
    """Yield the writer of a CSV file that has its head already."""
    with atomic.replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(head)
        yield writer


def _line(run: RunHistory, done: Round) -> list[object]:
    keys = [run.fill, run.algorithm, run.budget, run.seed, run.last_rounds, done.number]
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
    runs: dict[tuple[str, str, str, int, int], list[Round]] = {}
    with reading(path), path.open(newline="", encoding="utf-8") as file:
        for line in csv.DictReader(file, strict=True):
            key = line["budget"], int(line["seed"]), int(line["round"])
            done = _round(line, by_class.pop(key, None), tuple(participants.pop(key, ())))
            if any(int(line[name]) != getattr(done, name) for name in _COLUMNS[-4:]):
                raise ArtifactError(f"does not match {_PARTICIPANTS} in round {key[2]}", path, _REDO)
            rounds = runs.setdefault((line["fill"], line["algorithm"], *key[:2], int(line["last_rounds"])), [])
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
    return [RunHistory(*key[:4], tuple(rounds), key[4]) for key, rounds in runs.items()]


def load_clients(folder: Path) -> dict[tuple[str, int, int], tuple[float | None, ...]]:
    """Return the accuracy that each client would see, by budget, seed and round, for every tested round."""
    return _read_table(folder / "clients.csv")


def _round(line: Mapping[str, str], by_class: Any, participants: tuple[Participation, ...]) -> Round:
    names = ("accuracy", "loss", "averaged")
    accuracy, loss, averaged = (float(line[name]) if line[name] else None for name in names)
    return Round(int(line["round"]), participants, accuracy, loss, by_class, averaged)


def _read_table(path: Path) -> dict[tuple[str, int, int], tuple[float | None, ...]]:
    """Return the shares of each line by its budget, seed and round."""
    found: dict[tuple[str, int, int], tuple[float | None, ...]] = {}
    with reading(path), path.open(newline="", encoding="utf-8") as file:
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
    with reading(path):
        table = pq.read_table(path, partitioning=None)  # else folders named like alpha=0.5 become columns
        if not table.schema.equals(pa.schema(_PARTICIPANT_TYPES.items())) or any(c.null_count for c in table.columns):
            raise ValueError("columns of other names or types, or with missing values")
        for budget, seed, number, *rest in zip(*table.to_pydict().values(), strict=True):
            found.setdefault((budget, seed, number), []).append(Participation(*rest))
    return found


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Raise ArtifactError if the file is missing, or if what reads it stumbles."""
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
