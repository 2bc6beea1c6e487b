"""Hours until the target on one profile, accuracy within a budget of hours or bytes, and both beside no fill."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.artifacts.history import RunHistory
from pipeline.reporting.network import ranges, timed
from pipeline.reporting.network.clock import Clock
from pipeline.reporting.network.durations import HOUR
from pipeline.reporting.network.one_off import OneOff
from pipeline.reporting.network.ranges import Float64
from pipeline.reporting.network.results import OnNetwork, WithinBytes
from pipeline.reporting.skew import BEFORE
from pipeline.reporting.statistics import Replicate

_HALF = 0.5


@dataclass(frozen=True)
class Case:
    """The runs of one algorithm, budget and fill, and what the fill sends before they start."""

    algorithm: str
    budget: str
    fill: str
    runs: Mapping[Replicate, RunHistory]
    target: float | None
    one_off: OneOff

    @property
    def key(self) -> tuple[str, str]:
        return self.algorithm, self.budget


def on_network(cases: Sequence[Case], clock: Clock, hours: float | None) -> list[OnNetwork]:
    """Return the numbers of each case; ``hours`` are the budget, None for half of all rounds' time without a fill."""
    times = [{at: clock.rounds(run) for at, run in case.runs.items()} for case in cases]
    plain = {case.key: place for place, case in enumerate(cases) if case.fill == BEFORE}
    found = []
    for case, here in zip(cases, times, strict=True):
        without = plain.get(case.key)
        other = None if without is None else (cases[without], times[without])
        found.append(_one(case, here, other, clock, hours))
    return found


def _one(
    case: Case, here: timed.Runs, without: tuple[Case, timed.Runs] | None, clock: Clock, hours: float | None
) -> OnNetwork:
    before = _before(case, here, clock)
    budget = hours
    if budget is None and without is not None:
        budget = ranges.over({at: _HALF * one.ends[:, -1] / HOUR for at, one in without[1].items()}).median
    until = None if case.target is None else timed.to_target(here, case.target, before)
    shorter = longer = None
    if until is not None and without is not None and case.target is not None and case.fill != BEFORE:
        shorter, longer = _beside(until, timed.to_target(without[1], case.target, _before(*without, clock)))
    return OnNetwork(
        profile=clock.profile,
        algorithm=case.algorithm,
        budget=case.budget,
        fill=case.fill,
        hours=None if until is None else _hours(until),
        censored_at=None if case.target is None else timed.censored_at(case.runs, case.target),
        before_hours=_hours(before) if case.one_off.clients.any() else None,
        round_seconds=ranges.over({at: one.ends[:, -1] / len(one.run.rounds) for at, one in here.items()}),
        late=_late(here),
        budget_hours=budget,
        accuracy=None if budget is None else ranges.over(timed.within(here, HOUR * budget, before)),
        shorter=shorter,
        longer=longer,
    )


def _before(case: Case, here: timed.Runs, clock: Clock) -> dict[Replicate, Float64]:
    """Return the seconds before the first round of each run, (draws,)."""
    every = clock.before(case.one_off)
    return {at: every if one.draws is None else clock.before(case.one_off, one.draws) for at, one in here.items()}


def _hours(seconds: Mapping[Replicate, Float64]) -> ranges.Range:
    return ranges.over({at: values / HOUR for at, values in seconds.items()})


def _late(here: timed.Runs) -> float:
    """Return the share of all uploads that come too late, each round with equal weight."""
    return round(float(np.mean([one.late.mean() for one in here.values()])), 4)


def _beside(mine: Mapping[Replicate, Float64], other: Mapping[Replicate, Float64]) -> tuple[float | None, float | None]:
    """Return the shares of pairs in which one is sooner and later than the other; None if they share no seed."""
    common = sorted(mine.keys() & other.keys())
    if not common:
        return None, None
    # Never is later than any time, and no later than never.
    sooner, later = ({at: one(mine[at], other[at]) for at in common} for one in (np.less, np.greater))
    return ranges.share(sooner), ranges.share(later)


def within_bytes(cases: Sequence[Case], megabytes: float | None) -> list[WithinBytes]:
    """Return the accuracy within a budget, None for half of what all rounds move without a fill."""
    found = []
    for case in cases:
        plain = next((other for other in cases if other.key == case.key and other.fill == BEFORE), None)
        if megabytes is None and plain is None:
            continue
        budget = 1e6 * megabytes if megabytes is not None else _HALF * timed.moved(plain.runs if plain else {})
        known = ranges.over(timed.within_bytes(case.runs, budget, float(case.one_off.down.sum())))
        found.append(WithinBytes(case.algorithm, case.budget, case.fill, round(budget / 1e6, 3), known))
    return found
