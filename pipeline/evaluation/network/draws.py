"""The links of clients: drawn as uniform numbers that no profile decides, which a profile turns into links.

So all profiles, fills and algorithms are compared on the same draws (common random numbers).
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from pipeline import seeds
from pipeline.evaluation.network.profiles import Profile

Floats = NDArray[np.float64]
Uniforms = NDArray[np.uint16]

CHANNELS = ("down", "up", "rtt", "loss", "compute")
_STEPS = 1 << 16


@dataclass(frozen=True)
class Links:
    """One link for each entry of arrays of equal shape."""

    down: Floats
    """Mbit/s."""
    up: Floats
    """Mbit/s."""
    rtt: Floats
    """Seconds."""
    loss: Floats
    """Share of packets; 0 where the profile has none."""
    slowness: Floats
    """Seconds of compute over those of the reference device."""

    def of(self, clients: NDArray[np.int64]) -> "Links":
        """Return the links of some clients, by their place along the last axis."""
        down, up, rtt, loss, slowness = (getattr(self, field.name)[..., clients] for field in fields(self))
        return Links(down, up, rtt, loss, slowness)


def uniforms(seed: int, draw: int, clients: int, number: int | None = None) -> Uniforms:
    """Return the numbers of one draw, (channel, client), in the order of ``CHANNELS``; k stands for (k + 0.5) / 65536.

    ``number`` is the round if links are drawn again in each. A client's numbers depend on the seed, the draw, the
    client and the round, but not on how many clients there are.
    """
    names = ("network", draw) if number is None else ("network", draw, number)
    drawn = seeds.generator(seed, *names).integers(0, _STEPS, (clients, len(CHANNELS)), np.uint16)
    return np.ascontiguousarray(drawn.T)


def levels(numbers: Uniforms) -> Floats:
    """Return whole numbers as numbers between 0 and 1."""
    return (numbers + 0.5) / _STEPS


def links(profile: Profile, numbers: Uniforms, coupling: str, spread: float) -> Links:
    """Return the links that a profile makes of drawn numbers (channel, ...).

    With ``coupling`` ``quantile`` a client is at one quantile in everything: the number of the first channel says where
    bandwidths are, and 1 minus it where round-trip time and loss are, so that fast links are near and clean. With
    ``independent`` each has its own number. ``spread`` is the standard deviation of the logarithm of ``slowness``.
    """
    down, up, rtt, loss, compute = levels(numbers)
    if coupling == "quantile":
        up, rtt, loss = down, 1 - down, 1 - down
    return Links(
        down=_at(profile, profile.down, down),
        up=_at(profile, profile.up, up),
        rtt=_at(profile, profile.rtt, rtt) / 1000,
        loss=np.zeros_like(loss) if profile.loss is None else _at(profile, profile.loss, loss),
        slowness=np.exp(spread * ndtri(compute)),
    )


def _at(profile: Profile, values: Sequence[float], level: Floats) -> Floats:
    return np.asarray(np.interp(level, profile.quantiles, values), np.float64)
