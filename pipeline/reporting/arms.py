"""The runs of one arm (algorithm, budget and fill) over seeds, as the histories have them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from pipeline.artifacts import history
from pipeline.artifacts.history import Round, RunHistory
from pipeline.errors import ArtifactError


@dataclass(frozen=True)
class ArmRuns:
    """The runs of one algorithm, budget and fill; runs without a tested round are known by their seed only."""

    algorithm: str
    budget: str
    fill: str
    runs: Mapping[int, RunHistory]
    """By seed; each has at least one tested round."""
    clients: Mapping[int, tuple[float | None, ...]] = field(default_factory=dict)
    """By seed, the accuracy that each client would see after the last tested round."""
    untested: tuple[int, ...] = ()
    """Seeds of runs without a tested round."""

    @property
    def title(self) -> str:
        return f"{self.algorithm}, {self.fill}, equal {self.budget}"

    def last(self) -> dict[int, Round]:
        """Return each seed's last tested round."""
        return {seed: run.tested[-1] for seed, run in self.runs.items()}

    def finals(self) -> dict[int, float]:
        """Return each seed's accuracy after the last tested round."""
        return {seed: done.accuracy or 0.0 for seed, done in self.last().items()}

    def bests(self) -> list[float]:
        """Return each seed's greatest accuracy in any tested round."""
        return [max(done.accuracy or 0.0 for done in run.tested) for run in self.runs.values()]

    def curve(self) -> list[tuple[int, list[float]]]:
        """Return each tested round with the accuracies of the seeds that were tested in it."""
        by_round: dict[int, list[float]] = {}
        for run in self.runs.values():
            for done in run.tested:
                by_round.setdefault(done.number, []).append(done.accuracy or 0.0)
        return sorted(by_round.items())

    def reach(self, target: float) -> tuple[list[int], list[int]]:
        """Return, of the seeds that reach ``target``, the round at which they first do and the bytes moved by then."""
        rounds, moved = [], []
        for run in self.runs.values():
            first = next((done.number for done in run.tested if (done.accuracy or 0.0) >= target), None)
            if first is not None:
                rounds.append(first)
                moved.append(sum(done.bytes_down + done.bytes_up for done in run.rounds if done.number <= first))
        return rounds, moved

    def steps_per_round(self) -> float:
        """Return the local steps of all clients together, mean over rounds and seeds."""
        return float(np.mean([done.steps for run in self.runs.values() for done in run.rounds]))

    def sent(self) -> set[int]:
        """Return the numbers of bytes that one client received in one round."""
        return {one.bytes_down for run in self.runs.values() for done in run.rounds for one in done.participants}

    def spread(self) -> tuple[float, float, float] | None:
        """Return the least, median and greatest accuracy over clients, mean over seeds; None if no client has any."""
        known = [[share for share in seen if share is not None] for seen in self.clients.values()]
        quantiles = [np.quantile(shares, [0, 0.5, 1]) for shares in known if shares]
        if not quantiles:
            return None
        least, median, greatest = np.mean(quantiles, axis=0).tolist()
        return least, median, greatest

    def by_class(self) -> list[float | None]:
        """Return the accuracy on each class after the last tested round, mean over the seeds for which it is known.

        The list is empty if no accuracy by class was measured; None inside stands for a class without test images.
        """
        tables = [done.by_class for done in self.last().values() if done.by_class is not None]
        known = [[share for share in column if share is not None] for column in zip(*tables, strict=True)]
        return [sum(shares) / len(shares) if shares else None for shares in known]

    def diverged(self) -> dict[int, int]:
        """Return the seeds whose test loss was infinite or not a number, and the round in which it first was."""
        found = {}
        for seed, run in self.runs.items():
            bad = [done.number for done in run.tested if done.loss is not None and not math.isfinite(done.loss)]
            if bad:
                found[seed] = bad[0]
        return found


def ordered(arms: Sequence[ArmRuns]) -> list[ArmRuns]:
    """Return arms by algorithm, budget and fill, each of them in the order in which it first appears."""
    places = [
        {name: place for place, name in enumerate(dict.fromkeys(names))}
        for names in (
            (arm.algorithm for arm in arms),
            (arm.budget for arm in arms),
            (arm.fill for arm in arms),
        )
    ]
    return sorted(arms, key=lambda arm: (places[0][arm.algorithm], places[1][arm.budget], places[2][arm.fill]))


def read(folder: Path, class_names: Sequence[str]) -> list[ArmRuns]:
    """Read the arms of one fill and algorithm, one for each budget.

    Raises ArtifactError if a file is missing or damaged, or does not match the others or the class names.
    """
    runs, clients = history.load(folder), history.load_clients(folder)
    grouped: dict[tuple[str, str, str], dict[int, RunHistory]] = {}
    for run in runs:
        grouped.setdefault((run.algorithm, run.budget, run.fill), {})[run.seed] = run
        for done in run.tested:
            if done.by_class is None:
                continue
            if len(done.by_class) != len(class_names):
                what = f"{len(done.by_class)} classes, but the partition has {len(class_names)}"
                raise ArtifactError(what, folder / "classes.csv", "run: dvc repro -f train")
            if (run.budget, run.seed, done.number) not in clients:
                what = f"has no round {done.number} of {run.budget}, seed {run.seed}, but classes.csv does"
                raise ArtifactError(what, folder / "clients.csv", "run: dvc repro -f train")
    return [_arm(key, by_seed, clients) for key, by_seed in grouped.items()]


def _arm(
    key: tuple[str, str, str],
    runs: Mapping[int, RunHistory],
    clients: Mapping[tuple[str, int, int], tuple[float | None, ...]],
) -> ArmRuns:
    tested = {seed: run for seed, run in runs.items() if run.tested}
    ends = {seed: (run.budget, seed, run.tested[-1].number) for seed, run in tested.items()}
    seen = {seed: clients[end] for seed, end in ends.items() if end in clients}
    return ArmRuns(*key, tested, seen, tuple(seed for seed in runs if seed not in tested))
