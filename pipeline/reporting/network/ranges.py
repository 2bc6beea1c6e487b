"""A number of every replicate and network draw as a median and a range; what never happens lies beyond both.

There are two levels. Replicates are trainings, known by (partition seed, training seed): each partition weighs as much
as any other, and each seed of a partition as any other of it. Within a replicate every network draw weighs the same.
The range is what one training on one network would see, and no interval of a mean: more draws do not make it narrower.

A run that never reaches its target has no number of hours: it counts as infinitely many, so it is never left out, and
the median is unknown if half of the pairs are such. Quantiles are those of the empirical distribution (Hyndman and Fan,
1996, type 1): values that occurred, never means of two.
"""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict

from pipeline.reporting.statistics import Replicate

Float64 = NDArray[np.float64]
ENDS = (0.05, 0.95)
"""The shares of pairs below the ends of a range."""
_DIGITS = 4


@dataclass(frozen=True)
class Range:
    """Median and the middle 90 % over pairs of a replicate and a network draw; None lies beyond all that is known."""

    __pydantic_config__ = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)

    median: float | None
    low: float | None
    high: float | None
    known: float
    """Share of the pairs that have a value."""
    replicates: int
    draws: int


def over(values: Mapping[Replicate, Float64]) -> Range:
    """Return the range of values, (draws,) for each replicate; raise ValueError for none, or one that is no number.

    Infinite values stand for what never happens.
    """
    if not values or not all(len(one) for one in values.values()):
        raise ValueError("no values")
    everything = np.concatenate(list(values.values()))
    if np.isnan(everything).any():
        raise ValueError("a value is no number")
    shares = weights(values)
    low, median, high = (_rounded(one) for one in quantiles(everything, shares, (ENDS[0], 0.5, ENDS[1])))
    known = float(shares[np.isfinite(everything)].sum())
    return Range(median, low, high, round(known, _DIGITS), len(values), max(map(len, values.values())))


def share(happens: Mapping[Replicate, NDArray[np.bool_]]) -> float:
    """Return the share of pairs of replicate and draw in which something happens."""
    return round(float(weights(happens)[np.concatenate(list(happens.values()))].sum()), _DIGITS)


def weights(values: Mapping[Replicate, NDArray[np.float64] | NDArray[np.bool_]]) -> Float64:
    """Return what each pair weighs, in the order of the mapping; all together 1."""
    seeds = Counter(partition for partition, _ in values)
    each = ((1 / (len(seeds) * seeds[partition] * len(one)), len(one)) for (partition, _), one in values.items())
    return np.concatenate([np.full(count, weight) for weight, count in each])


def quantiles(values: Float64, shares: Float64, at: tuple[float, ...]) -> list[float]:
    """Return the smallest values that, with all below them, have these shares of the weight."""
    order = np.argsort(values, kind="stable")
    # sums of equal weights differ from their exact value by rounding
    below = np.cumsum(shares[order]) + 1e-9
    return [float(values[order][np.searchsorted(below, one).clip(max=len(values) - 1)]) for one in at]


def _rounded(value: float) -> float | None:
    """Return a value with the digits that reports keep, six that count; None if it is infinite."""
    return float(f"{value:.6g}") if math.isfinite(value) else None
