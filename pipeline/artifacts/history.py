"""The history of training runs: one row for each run and round, and the final weights."""

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline import atomic
from pipeline.errors import ArtifactError


@dataclass(frozen=True)
class Round:
    """One round of one run."""

    fill: str
    algorithm: str
    budget: str
    """``epochs``, ``steps``, or ``both`` where the two are the same run."""
    seed: int
    round: int
    accuracy: float | None
    """Of the global model on the whole test split, 0 to 1; None in a round without a test."""
    loss: float | None
    """Mean cross-entropy on the test split."""
    samples: int
    """Images that went through local training this round, all clients together."""
    steps: int
    """Local SGD steps this round, all clients together."""
    bytes_down: int
    """Sent to clients this round."""
    bytes_up: int
    """Sent by clients this round."""
    by_class: tuple[float | None, ...] | None = None
    """Accuracy on the test images of each class, kept in a table of its own; None inside for a class without any."""


_COLUMNS = tuple(field.name for field in fields(Round))[:-1]


def save(path: Path, rounds: Iterable[Round]) -> None:
    """Write rounds as CSV, one a line, with a head."""
    with atomic.replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(_COLUMNS)
        writer.writerows([getattr(row, name) for name in _COLUMNS] for row in rounds)


def save_classes(path: Path, rounds: Iterable[Round], class_names: Sequence[str]) -> None:
    """Write the accuracy by class of every round that was tested, one row for each round, one column for each class."""
    with atomic.replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["budget", "seed", "round", *class_names])
        writer.writerows([row.budget, row.seed, row.round, *row.by_class] for row in rounds if row.by_class is not None)


def save_clients(path: Path, rounds: Iterable[Round], counts: NDArray[np.int64]) -> None:
    """Write the accuracy that each client would see (see ``for_clients``), as ``save_classes`` does by class."""
    with atomic.replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["budget", "seed", "round", *range(len(counts))])
        for row in rounds:
            if row.by_class is not None:
                seen = [
                    "" if np.isnan(share) else round(float(share), 4) for share in for_clients(row.by_class, counts)
                ]
                writer.writerow([row.budget, row.seed, row.round, *seen])


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


def load(path: Path, stage: str) -> list[Round]:
    """Read a history; raise ArtifactError if it is missing or damaged."""
    if not path.is_file():
        raise ArtifactError("no such file", path, f"run: dvc repro {stage}")
    with path.open(newline="", encoding="utf-8") as file:
        try:
            rounds = [_parse(line) for line in csv.DictReader(file, strict=True)]
        except (csv.Error, KeyError, ValueError, TypeError) as error:
            raise ArtifactError(f"damaged ({error!r})", path, f"run: dvc repro -f {stage}") from None
    if not rounds:
        raise ArtifactError("holds no round", path, f"run: dvc repro -f {stage}")
    return rounds


def _parse(line: Mapping[str, str]) -> Round:
    texts = {name: line[name] for name in ("fill", "algorithm", "budget")}
    counts = {name: int(line[name]) for name in ("seed", "round", "samples", "steps", "bytes_down", "bytes_up")}
    tests = {name: float(line[name]) if line[name] else None for name in ("accuracy", "loss")}
    values: dict[str, Any] = {**texts, **counts, **tests}
    return Round(**values)


def runs(rounds: Sequence[Round]) -> dict[tuple[str, int], list[Round]]:
    """Return the rounds of each (budget, seed)."""
    grouped: dict[tuple[str, int], list[Round]] = {}
    for row in rounds:
        grouped.setdefault((row.budget, row.seed), []).append(row)
    return grouped


def save_metrics(path: Path, rounds: Sequence[Round], counts: NDArray[np.int64] | None = None) -> None:
    """Write each run's final and best accuracy and the mean of the final ones, by budget.

    With the clients' label counts (clients, classes) also the least, median and greatest accuracy over clients (see
    ``for_clients``) of the final weights, mean over seeds.
    """
    metrics: dict[str, dict[str, Any]] = {}
    spreads: dict[str, list[NDArray[np.float64]]] = {}
    for (budget, seed), run in runs(rounds).items():
        tested = [row for row in run if row.accuracy is not None]
        section = metrics.setdefault(budget, {"final_accuracy": {}, "best_accuracy": {}})
        section["final_accuracy"][f"seed {seed}"] = round(tested[-1].accuracy or 0.0, 4)
        section["best_accuracy"][f"seed {seed}"] = round(max(row.accuracy or 0.0 for row in tested), 4)
        if counts is not None and tested[-1].by_class is not None:
            accuracies = for_clients(tested[-1].by_class, counts)
            accuracies = accuracies[~np.isnan(accuracies)]
            if not len(accuracies):
                continue
            spreads.setdefault(budget, []).append(np.quantile(accuracies, [0, 0.5, 1]))
    for budget, section in metrics.items():
        finals = section["final_accuracy"].values()
        section["mean_final_accuracy"] = round(sum(finals) / len(finals), 4)
        if budget in spreads:
            values = np.mean(spreads[budget], axis=0).round(4).tolist()
            section["client_accuracy"] = dict(zip(("least", "median", "greatest"), values, strict=True))
    atomic.write_text(path, json.dumps(metrics, indent=2) + "\n")
