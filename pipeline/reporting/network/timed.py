"""What runs reach within a time or a number of bytes; what a fill sends before training starts counts too."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.artifacts import history
from pipeline.artifacts.history import RunHistory
from pipeline.reporting import measures
from pipeline.reporting.statistics import Replicate

Float64 = NDArray[np.float64]
_SAME = 1 + 1e-5
"""Half of equal rounds ends with a round; rounding of a budget does not decide whether that one counts."""


@dataclass(frozen=True)
class Timed:
    """The rounds of one run on one network."""

    run: RunHistory
    ends: Float64
    """Seconds from the start of the first round to the end of each, (draws, rounds)."""
    late: Float64
    """Share of the uploads of each round that are not waited for, (draws, rounds)."""
    draws: tuple[int, ...] | None = None
    """Which draws these are; None: all of the network's, in order."""


Runs = Mapping[Replicate, Timed]


def to_target(runs: Runs, target: float, before: Mapping[Replicate, Float64]) -> dict[Replicate, Float64]:
    """Return the seconds until a target, (draws,) for each replicate; infinite for a run that never reaches it.

    ``before`` are the seconds before the first round, (draws,) for each replicate.
    """
    return {at: before[at] + _until(one, target) for at, one in runs.items()}


def _until(one: Timed, target: float) -> Float64:
    reached = history.reached(one.run.rounds, target)
    return np.full(len(one.ends), np.inf) if reached is None else one.ends[:, reached.number - 1]


def within(runs: Runs, seconds: float, before: Mapping[Replicate, Float64]) -> dict[Replicate, Float64]:
    """Return the accuracy of the last test by so many seconds, (draws,) for each replicate; -inf where there is none.

    That is no mean over the last rounds, so it goes up and down with them, and no best test either.
    """
    return {at: _last(one.run, before[at][:, None] + one.ends <= seconds * _SAME) for at, one in runs.items()}


def within_bytes(runs: Mapping[Replicate, RunHistory], budget: float, before: float) -> dict[Replicate, Float64]:
    """Return the accuracy of the last test by so many bytes, (1,) for each replicate; -inf where there is none.

    All clients, both ways; ``before`` are those before the first round.
    """
    found = {}
    for at, run in runs.items():
        sent = np.cumsum([done.bytes_down + done.bytes_up for done in run.rounds], dtype=np.float64)
        found[at] = _last(run, (before + sent <= budget * _SAME)[None])
    return found


def _last(run: RunHistory, done: NDArray[np.bool_]) -> Float64:
    """Return the accuracy of the last tested round that is done, where ``done`` (draws, rounds) tells which are."""
    tested = np.array([-1, *(each.number - 1 for each in run.tested)])
    accuracies = np.array([-np.inf, *(each.accuracy or 0.0 for each in run.tested)])
    rounds = done.sum(axis=1)  # a round is done only if all before it are
    return np.asarray(accuracies[np.searchsorted(tested, rounds - 1, side="right") - 1])


def moved(runs: Mapping[Replicate, RunHistory]) -> float:
    """Return the bytes of all rounds, all clients, both ways, mean over replicates."""
    return float(np.mean([measures.moved(run, len(run.rounds)) for run in runs.values()]))


def censored_at(runs: Mapping[Replicate, RunHistory], target: float) -> int | None:
    """Return the first round at which a run ended that had not reached a target; None if every run reaches it."""
    return min((len(run.rounds) for run in runs.values() if history.reached(run.rounds, target) is None), default=None)
