"""When a fill pays: what it costs once, against the rounds that it saves until the target, by model size and profile.

Rounds are those that were recorded, whatever the size of the weights that are asked about: only what a round sends is
scaled. A larger model may need other rounds, which only a training tells. A control that never reaches the target
counts with all its rounds, so that what the fill saves is the least that it can be.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from pipeline.artifacts import history
from pipeline.artifacts.history import RunHistory
from pipeline.reporting import measures
from pipeline.reporting.network import ranges
from pipeline.reporting.network.durations import HOUR
from pipeline.reporting.network.hours import Case, Clock
from pipeline.reporting.network.one_off import OneOff
from pipeline.reporting.network.ranges import Float64, Range
from pipeline.reporting.network.results import BreakEven, Pays
from pipeline.reporting.statistics import Replicate

SIZES = (1.0, 5.0, 45.0, 100.0, 350.0)
"""Megabytes of weights that are looked at beside the run's own: a small network, MobileNet, ResNet-18, ResNet-50, ViT-B."""
_SMALLEST, _LARGEST = 1e-3, 1e5
_STEPS = 25  # of the search for a size, each a factor of about 2
_CLOSE = 1.02


def break_even(
    fill: Case, controls: Sequence[Case], ways: Sequence[OneOff], clocks: Sequence[Clock], watts: float
) -> BreakEven | None:
    """Return when a fill pays beside the control of its budget that reaches the fill's target first.

    ``controls`` may be of any algorithm, ``ways`` are those to bring the images to the clients, ``watts`` what a device
    takes that draws. None without a target, a control that shares a seed, or a byte that is sent.
    """
    model = min((one.bytes_down for run in fill.runs.values() for done in run.rounds for one in done.participants),
                default=0)  # fmt: skip
    rivals = [one for one in controls if one.budget == fill.budget and one.runs.keys() & fill.runs.keys()]
    if fill.target is None or not rivals or not model:
        return None
    target = fill.target
    control = min(rivals, key=lambda one: (_sortable(_rounds(one, target)), one.algorithm != fill.algorithm))
    return BreakEven(
        algorithm=fill.algorithm,
        budget=fill.budget,
        fill=fill.fill,
        control=control.fill,
        control_algorithm=control.algorithm,
        target=round(target, 4),
        rounds=_rounds(fill, target),
        control_rounds=_rounds(control, target),
        model_megabytes=round(model / 1e6, 3),
        ways=tuple(_way(fill, control, target, way, clocks, watts, model) for way in ways),
    )


def _rounds(case: Case, target: float) -> float | None:
    """Return the median over seeds of the rounds until a target; None if half of them do not reach it."""
    reached = {at: history.reached(run.rounds, target) for at, run in case.runs.items()}
    return ranges.over({at: np.array([one.number if one else np.inf]) for at, one in reached.items()}).median


def _sortable(rounds: float | None) -> float:
    return np.inf if rounds is None else rounds


def _way(
    fill: Case, control: Case, target: float, way: OneOff, clocks: Sequence[Clock], watts: float, model: int
) -> Pays:
    mine, theirs = _pairs(fill, control)
    sent, once = way.clients, float(way.down.sum())
    least = {at: _moved(run, target, at_most=True) for at, run in theirs.items()}
    saved = {at: least[at] - _moved(run, target, at_most=False) for at, run in mine.items()}
    gain = ranges.over({at: np.array([one]) for at, one in saved.items()}).median
    moved = ranges.over({at: np.array([one]) for at, one in least.items()}).median
    shares = {clock.profile: _Shares(mine, theirs, target, clock, clock.before(way), model) for clock in clocks}
    drawing = float(np.mean([clock.drawing_seconds(way) for clock in clocks])) if clocks else 0.0
    own = round(model / 1e6, 3)
    return Pays(
        way=way.way,
        client_megabytes=round(once / max(int(sent.sum()), 1) / 1e6, 3),
        client_hours=float(f"{drawing / HOUR:.6g}"),
        client_watt_hours=float(f"{watts * drawing / HOUR:.6g}"),
        hopeless=once >= (moved or 0.0),
        bytes_from=None if gain is None or gain <= 0 else float(f"{own * once / gain:.4g}"),
        hours_from={name: _from(one.pays) for name, one in shares.items()},
        hours={name: {f"{size:g}": one.at(size) for size in sizes(own)} for name, one in shares.items()},
    )


def sizes(own: float) -> list[float]:
    """Return the megabytes of weights that are looked at, in order, with the run's own."""
    return sorted([own, *(size for size in SIZES if not 0.8 < size / own < 1.25)])


def _pairs(fill: Case, control: Case) -> tuple[dict[Replicate, RunHistory], dict[Replicate, RunHistory]]:
    common = sorted(fill.runs.keys() & control.runs.keys())
    return {at: fill.runs[at] for at in common}, {at: control.runs[at] for at in common}


def _moved(run: RunHistory, target: float, at_most: bool) -> float:
    """Return the bytes until a target; of a run that never reaches it all that it moved, or infinitely many."""
    reached = history.reached(run.rounds, target)
    if reached is None and not at_most:
        return np.inf
    return float(measures.moved(run, reached.number if reached else len(run.rounds)))


class _Shares:
    """The fill's hours until the target as a share of the control's, for weights of any size on one profile."""

    def __init__(
        self,
        mine: Mapping[Replicate, RunHistory],
        theirs: Mapping[Replicate, RunHistory],
        target: float,
        clock: Clock,
        before: Float64,
        model: int,
    ) -> None:
        self._mine, self._theirs, self._target = mine, theirs, target
        self._clock, self._before, self._model = clock, before, model

    def at(self, megabytes: float) -> Range:
        """Return the share, a range over pairs of seed and draw."""
        scale = 1e6 * megabytes / self._model
        return ranges.over({at: self._share(run, self._theirs[at], scale) for at, run in self._mine.items()})

    def pays(self, megabytes: float) -> bool:
        """Return whether the fill is sooner in the median pair."""
        median = self.at(megabytes).median
        return median is not None and median < 1

    def _share(self, mine: RunHistory, theirs: RunHistory, scale: float) -> Float64:
        ends = [self._clock.rounds(run, scale).ends for run in (mine, theirs)]
        reached, control = (history.reached(run.rounds, self._target) for run in (mine, theirs))
        if reached is None:
            return np.full(len(self._before), np.inf)
        until = self._before + ends[0][:, reached.number - 1]
        return until / ends[1][:, control.number - 1 if control else -1]


def _from(pays: Callable[[float], bool]) -> float | None:
    """Return the least megabytes from which on the fill pays for all greater ones that are tried; None for no such."""
    tried = list(_tried())
    paying = [pays(size) for size in tried]
    if not paying[-1]:
        return None
    last = max((place for place, one in enumerate(paying) if not one), default=-1)
    if last < 0:
        return 0.0
    low, high = tried[last], tried[last + 1]
    while high / low > _CLOSE:
        middle = (low * high) ** 0.5
        low, high = (low, middle) if pays(middle) else (middle, high)
    return float(f"{high:.3g}")


def _tried() -> Iterator[float]:
    yield from np.geomspace(_SMALLEST, _LARGEST, _STEPS).tolist()
