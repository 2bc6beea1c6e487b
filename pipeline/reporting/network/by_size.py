"""Hours until a target for weights of any size: replayed at a few sizes, and linear between them.

The time of a round is the largest of times that grow linearly with the bytes, but for slow start. So a line between two
sizes is never below the truth, and near it.
"""

from collections.abc import Mapping

import numpy as np

from pipeline.artifacts import history
from pipeline.artifacts.history import RunHistory
from pipeline.reporting.network import ranges
from pipeline.reporting.network.clock import Clock
from pipeline.reporting.network.ranges import Float64, Range
from pipeline.reporting.statistics import Replicate

SIZES = (1.0, 5.0, 45.0, 100.0, 350.0)
"""Megabytes of weights that are shown beside the run's own: a small network, MobileNet, ResNet-18, ResNet-50, ViT-B."""
SMALLEST, LARGEST = 0.01, 10_000.0
"""Megabytes of weights between which the size is looked for from which a fill pays."""
_NODES, _TRIED = 9, 25
_CLOSE = 1.01

Runs = Mapping[Replicate, RunHistory]


def sizes(own: float) -> list[float]:
    """Return the megabytes of weights that are shown, in order, with the run's own."""
    return sorted([own, *(size for size in SIZES if not 0.8 < size / own < 1.25)])


class BySize:
    """The times of runs on one profile; each run is replayed once at each size, whatever is asked about it."""

    def __init__(self, clock: Clock, own: float) -> None:
        """``own`` are the megabytes of weights with which the runs were recorded."""
        self.clock, self.own = clock, own
        self._nodes = np.unique([*np.geomspace(SMALLEST, LARGEST, _NODES), *sizes(own)])
        self._kept = dict[tuple[int, int], Float64]()

    def until(self, run: RunHistory, rounds: int, megabytes: float) -> Float64:
        """Return the seconds until the end of a round, (draws,), for weights of a size."""
        right = int(np.searchsorted(self._nodes, megabytes).clip(1, len(self._nodes) - 1))
        low, high = self._nodes[right - 1], self._nodes[right]
        share = (megabytes - low) / (high - low)
        one, other = (self._ends(run, place)[:, rounds - 1] for place in (right - 1, right))
        return np.asarray(one + share * (other - one))

    def _ends(self, run: RunHistory, place: int) -> Float64:
        """Return the seconds to the end of each round, (draws, rounds), at one of the sizes that are replayed."""
        key = id(run), place
        if key not in self._kept:
            self._kept[key] = self.clock.rounds(run, float(self._nodes[place]) / self.own).ends
        return self._kept[key]


class Share:
    """The fill's time until the target as a share of the control's, over pairs of seed and draw."""

    def __init__(self, mine: Runs, theirs: Runs, target: float, times: BySize, before: Float64) -> None:
        """``before`` are the seconds before the fill's first round, (draws,)."""
        self._pairs = {at: (run, theirs[at]) for at, run in mine.items()}
        self._target, self._times, self._before = target, times, before

    def at(self, megabytes: float) -> Range:
        """Return the share for weights of a size."""
        return ranges.over({at: self._share(*pair, megabytes) for at, pair in self._pairs.items()})

    def pays_from(self) -> float | None:
        """Return the least megabytes from which on the fill is sooner in the median pair, up to the largest.

        0 if that is so for all sizes, None if it is not so for the largest.
        """
        tried = np.geomspace(SMALLEST, LARGEST, _TRIED).tolist()
        last = max((place for place, size in enumerate(tried) if not self._pays(size)), default=-1)
        if last == len(tried) - 1:
            return None
        return 0.0 if last < 0 else self._between(tried[last], tried[last + 1])

    def _between(self, low: float, high: float) -> float:
        while high / low > _CLOSE:
            middle = (low * high) ** 0.5
            low, high = (low, middle) if self._pays(middle) else (middle, high)
        return float(f"{high:.2g}")

    def _pays(self, megabytes: float) -> bool:
        median = self.at(megabytes).median
        return median is not None and median < 1

    def _share(self, mine: RunHistory, theirs: RunHistory, megabytes: float) -> Float64:
        reached, control = (history.reached(run.rounds, self._target) for run in (mine, theirs))
        if reached is None:
            return np.full(len(self._before), np.inf)
        until = self._before + self._times.until(mine, reached.number, megabytes)
        ends = control.number if control else len(theirs.rounds)
        return np.asarray(until / np.maximum(self._times.until(theirs, ends, megabytes), 1e-9))
