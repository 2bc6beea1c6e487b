"""The history of training runs: one row for each run and round, and the final weights."""

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

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


def save(path: Path, rounds: Iterable[Round]) -> None:
    """Write rounds as CSV, one a line, with a head."""
    with atomic.replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(field.name for field in fields(Round))
        writer.writerows(astuple(row) for row in rounds)


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


def save_metrics(path: Path, rounds: Sequence[Round]) -> None:
    """Write each run's final and best accuracy, and the mean of the final ones, by budget."""
    metrics: dict[str, dict[str, Any]] = {}
    for (budget, seed), run in runs(rounds).items():
        tested = [row.accuracy for row in run if row.accuracy is not None]
        section = metrics.setdefault(budget, {"final_accuracy": {}, "best_accuracy": {}})
        section["final_accuracy"][f"seed {seed}"] = round(tested[-1], 4)
        section["best_accuracy"][f"seed {seed}"] = round(max(tested), 4)
    for section in metrics.values():
        finals = section["final_accuracy"].values()
        section["mean_final_accuracy"] = round(sum(finals) / len(finals), 4)
    atomic.write_text(path, json.dumps(metrics, indent=2) + "\n")
