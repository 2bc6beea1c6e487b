"""The runs of one arm (algorithm, budget and fill) over seeds, as the histories have them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from pipeline.artifacts import history
from pipeline.artifacts.history import RunHistory
from pipeline.errors import ArtifactError
from pipeline.reporting import measures
from pipeline.reporting.measures import ClientSpread, Reach, RunMeasures

Shares = tuple[float | None, ...]


@dataclass(frozen=True)
class ArmRuns:
    """The runs of one algorithm, budget and fill; runs without a tested round are known by their seed only."""

    algorithm: str
    budget: str
    fill: str
    runs: Mapping[int, RunHistory]
    """By seed; each has at least one tested round."""
    clients: Mapping[int, Mapping[int, Shares]] = field(default_factory=dict)
    """By seed and round, the accuracy that each client would see."""
    untested: tuple[int, ...] = ()
    """Seeds of runs without a tested round."""

    @property
    def title(self) -> str:
        return f"{self.algorithm}, {self.fill}, equal {self.budget}"

    @cached_property
    def measures(self) -> dict[int, RunMeasures]:
        """The numbers of each seed's run."""
        return {seed: measures.measure(run, self.clients.get(seed)) for seed, run in self.runs.items()}

    def primaries(self) -> dict[int, float]:
        """Return each seed's primary number: the mean accuracy over its last rounds."""
        return {seed: found.primary for seed, found in self.measures.items()}

    @property
    def samples_per_round(self) -> float:
        """Images that go through local training in a round, all clients, mean over rounds and seeds."""
        return float(np.mean([one.samples_per_round for one in self.measures.values()]))

    def curve(self) -> list[tuple[int, list[float]]]:
        """Return each tested round with the accuracies of the seeds that were tested in it."""
        return [(number, [run.rounds[number - 1].accuracy or 0.0 for run in runs]) for number, runs in self._tested()]

    def moved(self) -> list[tuple[int, float]]:
        """Return each tested round with the bytes moved by its end, mean over the seeds that were tested in it."""
        return [
            (number, float(np.mean([measures.moved(run, number) for run in runs]))) for number, runs in self._tested()
        ]

    def reach(self, target: float) -> dict[int, Reach | None]:
        """Return when each seed reaches a target; None for one that never does."""
        return {seed: measures.reach(run, target) for seed, run in self.runs.items()}

    def sent(self) -> set[int]:
        """Return the numbers of bytes that one client received in one round."""
        return {one.bytes_down for run in self.runs.values() for done in run.rounds for one in done.participants}

    def spread(self) -> ClientSpread | None:
        """Return the distribution over clients, each of its numbers a mean over seeds; None if no client has any."""
        return measures.mean_spread([found.clients for found in self.measures.values()])

    def of_clients(self, seed: int) -> Shares:
        """Return each client's accuracy, mean over the last rounds of a seed; empty if none is known."""
        return measures.of_clients(self.runs[seed], self.clients.get(seed, {}))

    def by_class(self) -> Shares:
        """Return the accuracy on each class, mean over the last rounds and over the seeds for which it is known.

        Empty if no accuracy by class was measured; None inside stands for a class without test images.
        """
        each = (measures.by_column([done.by_class or () for done in measures.last(run)]) for run in self.runs.values())
        return measures.by_column([shares for shares in each if shares])

    def diverged(self) -> dict[int, int]:
        """Return the seeds whose test loss was infinite or not a number, and the round in which it first was."""
        found = {}
        for seed, run in self.runs.items():
            bad = [done.number for done in run.tested if done.loss is not None and not math.isfinite(done.loss)]
            if bad:
                found[seed] = bad[0]
        return found

    def _tested(self) -> list[tuple[int, list[RunHistory]]]:
        by_round: dict[int, list[RunHistory]] = {}
        for run in self.runs.values():
            for done in run.tested:
                by_round.setdefault(done.number, []).append(run)
        return sorted(by_round.items(), key=lambda pair: pair[0])


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
    clients: Mapping[tuple[str, int, int], Shares],
) -> ArmRuns:
    tested = {seed: run for seed, run in runs.items() if run.tested}
    seen: dict[int, dict[int, Shares]] = {}
    for (budget, seed, number), shares in clients.items():
        if budget == key[1] and seed in tested:
            seen.setdefault(seed, {})[number] = shares
    return ArmRuns(*key, tested, seen, tuple(seed for seed in runs if seed not in tested))
