"""Means over seeds with their confidence intervals."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from pydantic import ConfigDict
from scipy import special

DECIMALS = 4
"""Of accuracies, shares of 1, in reports."""


@dataclass(frozen=True)
class Interval:
    """A mean and the half width of its 95 % confidence interval, None for fewer than two values."""

    __pydantic_config__ = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)

    mean: float
    half_width: float | None

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        """Estimate from independent values, by Student's t; raise ValueError if there is none."""
        count = len(values)
        if not count:
            raise ValueError("no values")
        mean = sum(values) / count
        if count < 2:
            return cls(mean, None)
        deviation = math.sqrt(sum((value - mean) ** 2 for value in values) / (count - 1))
        return cls(mean, float(special.stdtrit(count - 1, 0.975)) * deviation / math.sqrt(count))

    def rounded(self) -> Self:
        """Return the interval as reports store it."""
        half = self.half_width
        return type(self)(round(self.mean, DECIMALS), None if half is None else round(half, DECIMALS))

    def percent(self, signed: bool = False) -> str:
        """Return ``83.6 ± 1.2`` for accuracies between 0 and 1; ``signed`` adds the plus sign of a difference."""
        text = f"{100 * self.mean:{'+' if signed else ''}.1f}"
        return text if self.half_width is None else f"{text} ± {100 * self.half_width:.1f}"
