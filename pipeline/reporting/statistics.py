"""How sure a mean over replicates is: an interval, and a test of whether a difference is 0.

A replicate is one (partition seed, training seed). Replicates of one partition share its clients and images, so the
partition is the unit, and training seeds repeat the measurement of a unit:

* the mean is that of the partitions' means, each partition with equal weight;
* from ``LEAST`` partitions on, the 95 % interval is the bootstrap's BCa interval (Efron, 1987) with two levels:
  partitions are drawn with replacement, then training seeds within each drawn partition. The tails are widened for
  small samples as Hesterberg (2015, "What teachers should know about the bootstrap") does for percentiles: in
  simulations with 6 partitions the plain interval covers 83 to 94 % of the time, the widened one 89 to 99 %;
* with fewer, it is Student's t over the partitions' means: resampling 2 to 5 values says too little of their tails;
* p is that of the two-sided sign-flip test over the partitions' means (Fisher's randomisation test): exact for up to 16
  partitions. With 3 it is never below .25, with 5 never below .0625, with 6 never below .03125;
* with one partition the unit is the training seed, the interval is Student's t over seeds, and there is no p: such a
  result demonstrates, and proves nothing.

Equal values give equal results: the draws are seeded, and the order of replicates does not matter.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict
from scipy import special

from pipeline import seeds

Float64 = NDArray[np.float64]
Replicate = tuple[int, int]
"""Partition seed and training seed."""

DECIMALS = 4
"""Of accuracies, shares of 1, in reports."""
LEAST = 6
"""Partitions that a claim needs: with fewer no sign-flip test falls below .05."""
LEVEL = 0.95
SIGNIFICANT = 0.05
_RESAMPLES = 10_000
_MOST_EXACT = 16  # partitions whose sign patterns are all tried
_STRICT = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)


@dataclass(frozen=True)
class Estimate:
    """A mean over replicates with its 95 % interval, None for a single unit."""

    __pydantic_config__ = _STRICT

    mean: float
    low: float | None
    high: float | None
    partitions: int
    replicates: int

    @property
    def unit(self) -> str:
        """What the interval is over: ``partition``, or with one partition ``seed``."""
        return "partition" if self.partitions > 1 else "seed"

    def rounded(self) -> Self:
        """Return the numbers as reports store them."""
        known: dict[str, Any] = {
            name: round(value, DECIMALS) for name, value in vars(self).items() if isinstance(value, float)
        }
        return replace(self, **known)

    def percent(self) -> str:
        """Return ``83.6 (82.4 to 84.8)`` for shares of 1."""
        return _percent(self, signed=False)


@dataclass(frozen=True)
class Difference(Estimate):
    """A mean paired difference with its 95 % interval and the p of the sign-flip test, None with one partition."""

    __pydantic_config__ = _STRICT

    p: float | None

    @property
    def clear(self) -> bool:
        """Tell whether at least ``LEAST`` partitions, the interval and the test agree that it is not 0."""
        apart = self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)
        return apart and self.partitions >= LEAST and self.p is not None and self.p < SIGNIFICANT

    def percent(self) -> str:
        """Return ``+6.1 (+4.0 to +8.3)`` for shares of 1."""
        return _percent(self, signed=True)


def estimate(values: Mapping[Replicate, float]) -> Estimate:
    """Return the mean of values by (partition seed, training seed); raise ValueError for none, or one not finite."""
    groups = _groups(values)
    low, high = _interval(groups)
    return Estimate(float(np.mean([group.mean() for group in groups])), low, high, len(groups), len(values))


def paired(differences: Mapping[Replicate, float]) -> Difference:
    """Return the mean of differences by (partition seed, training seed), each between two runs of equal seeds.

    Raises ValueError if there is none, or one is not finite.
    """
    found = estimate(differences)
    means = np.array([group.mean() for group in _groups(differences)])
    p = sign_flip(means) if len(means) > 1 else None
    return Difference(found.mean, found.low, found.high, found.partitions, found.replicates, p)


def sign_flip(differences: Sequence[float] | Float64) -> float:
    """Return p of the two-sided sign-flip test that differences are symmetric about 0.

    It is the share of all patterns of signs whose mean is as far from 0 as the observed one; of more than 16
    differences, of 2^16 random patterns and the observed one.
    """
    values = np.asarray(differences, np.float64)
    count = len(values)
    if count <= _MOST_EXACT:
        bits = np.arange(2**count)[:, None] >> np.arange(count) & 1
    else:
        bits = seeds.generator(0, "statistics", "sign flip").integers(0, 2, (2**_MOST_EXACT, count))
        bits[0] = 0  # the observed one
    sums = np.abs((1 - 2 * bits) @ values)
    # sums of the same values in another order of signs differ by rounding
    return float(np.mean(sums >= abs(values.sum()) - 1e-12 * np.abs(values).sum()))


def student(values: Float64) -> tuple[float, float] | tuple[None, None]:
    """Return the 95 % interval of the mean of independent values by Student's t; None for a single one."""
    count = len(values)
    if count < 2:
        return None, None
    half = float(special.stdtrit(count - 1, (1 + LEVEL) / 2) * values.std(ddof=1) / math.sqrt(count))
    return float(values.mean()) - half, float(values.mean()) + half


def bca(mean: float, resampled: Float64, jackknife: Float64, tail: float) -> tuple[float, float]:
    """Return the bias-corrected and accelerated interval of a mean (Efron, 1987).

    ``resampled`` are the means of the bootstrap's samples, ``jackknife`` those without one unit each, ``tail`` the
    probability on either side of the interval, such as .025.
    """
    # half of the samples whose mean is the same but for rounding count as below it
    same = 1e-12 * np.abs(resampled).max()
    below = (np.mean(resampled < mean - same) + np.mean(resampled <= mean + same)) / 2
    bias = special.ndtri(below)
    apart = jackknife.mean() - jackknife
    spread = (apart**2).sum() ** 1.5
    acceleration = (apart**3).sum() / (6 * spread) if spread else 0.0
    at = bias + special.ndtri([tail, 1 - tail])
    shares = special.ndtr(bias + at / (1 - acceleration * at))
    low, high = np.quantile(resampled, shares)
    return float(low), float(high)


def _groups(values: Mapping[Replicate, float]) -> list[Float64]:
    """Return the values of each partition, all in order of seed."""
    if not values:
        raise ValueError("no values")
    if not all(map(math.isfinite, values.values())):
        raise ValueError("a value is not finite")
    by_partition: dict[int, list[float]] = {}
    for partition, seed in sorted(values):
        by_partition.setdefault(partition, []).append(values[partition, seed])
    return [np.array(group, np.float64) for group in by_partition.values()]


def _interval(groups: Sequence[Float64]) -> tuple[float, float] | tuple[None, None]:
    if len(groups) == 1:
        return student(groups[0])
    means = np.array([group.mean() for group in groups])
    if len(groups) < LEAST:
        return student(means)
    values = np.concatenate(groups)
    if np.ptp(values) == 0:
        return float(values[0]), float(values[0])
    resampled = _weights(tuple(map(len, groups))) @ values
    count = len(means)
    jackknife = (means.sum() - means) / (count - 1)
    return bca(float(means.mean()), resampled, jackknife, _tail(count))


def _tail(count: int) -> float:
    """Return the tail of the bootstrap's distribution that stands for 2.5 %: widened for few units (Hesterberg)."""
    wide = math.sqrt(count / (count - 1)) * special.stdtrit(count - 1, (1 + LEVEL) / 2)
    return float(special.ndtr(-wide))


@lru_cache(maxsize=4)
def _weights(sizes: tuple[int, ...]) -> Float64:
    """Return what each value weighs in the mean of each sample, (samples, values), for units of so many values.

    A sample draws as many units with replacement, and within each of them as many of its values. A sweep compares
    hundreds of arms with the same replicates, and the draws do not depend on the values.
    """
    rng, units = seeds.generator(0, "statistics", "bootstrap"), np.array(sizes)
    drawn = rng.integers(0, len(units), (_RESAMPLES, len(units)))[..., None]
    chosen = (rng.random((*drawn.shape[:2], max(sizes))) * units[drawn]).astype(np.int64)
    known = np.arange(max(sizes)) < units[drawn]
    values = (np.cumsum([0, *sizes[:-1]])[drawn] + chosen) + np.arange(_RESAMPLES)[:, None, None] * units.sum()
    shares = known / (units[drawn] * len(units))
    flat = np.bincount(values[known], shares[known], minlength=_RESAMPLES * int(units.sum()))
    return flat.astype(np.float64).reshape(_RESAMPLES, -1)


def _percent(found: Estimate, signed: bool) -> str:
    sign = "+" if signed else ""
    text = f"{100 * found.mean:{sign}.1f}"
    if found.low is None or found.high is None:
        return text
    return f"{text} ({100 * found.low:{sign}.1f} to {100 * found.high:{sign}.1f})"
