"""Axes: round numbers between which the values lie, and where a value is drawn."""

import math
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """A linear axis from ``low`` to ``high``, drawn from ``start`` to ``end``."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        """Return where a value is drawn; one outside the axis lies at its end."""
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)


def around(values: Iterable[float | None], most: int = 5, least: float | None = None) -> tuple[float, ...]:
    """Return about ``most`` equally spaced round numbers that enclose all finite values, and ``least`` if given.

    Without any value they are 0 and 1. Steps are 1, 2, 2.5 or 5 times a power of ten (Heckbert, Graphics Gems, 1990).
    """
    known = [value for value in values if value is not None and math.isfinite(value)]
    if least is not None:
        known.append(least)
    if not known:
        return 0.0, 1.0
    low, high = min(known), max(known)
    if high - low < 1e-9 * max(1.0, abs(high)):
        low, high = (low - 0.5, high + 0.5) if least is None else (low, high + 1.0)
    step = _step((high - low) / max(1, most - 1))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return tuple(round(place * step, 10) for place in range(first, last + 1))


def _step(wanted: float) -> float:
    power = 10.0 ** math.floor(math.log10(wanted))
    return next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= wanted * (1 - 1e-9))
