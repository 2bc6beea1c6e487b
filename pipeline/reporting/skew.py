"""The skew of the clients' labels with each fill, beside that of IID clients of the same sizes."""

from collections.abc import Mapping
from dataclasses import astuple, dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict

from pipeline import seeds
from pipeline.clients import skew
from pipeline.clients.skew import Skew

Int64 = NDArray[np.int64]

BEFORE = "none"
"""The fill that leaves the real images as they are: the skew before any other."""
HEAD = ("Hellinger", "Jensen-Shannon", "total variation", "effective classes", "missing cells", "Gini of sizes")
_DECIMALS = 4


@dataclass(frozen=True)
class FillSkew:
    """How skewed the labels of clients are with a fill."""

    __pydantic_config__ = ConfigDict(strict=True, extra="forbid")

    fill: str
    clients: Skew
    iid: Skew
    """Expected of IID clients of the same sizes; so the Gini coefficient of sizes is the same."""


def of_fills(real: Int64, filled: Mapping[str, Int64], seed: int) -> tuple[FillSkew, ...]:
    """Return the skew of the real images, and of every fill with which clients hold anything else.

    ``real`` and each of ``filled`` are counts of images, (clients, classes); ``seed`` is the root seed.
    """
    changed = {fill: counts for fill, counts in filled.items() if not np.array_equal(counts, real)}
    return tuple(measure(fill, counts, seed) for fill, counts in {BEFORE: real, **changed}.items())


def measure(fill: str, counts: Int64, seed: int) -> FillSkew:
    """Return the skew of clients that hold these images, (clients, classes)."""
    floor = skew.floor(counts, seeds.generator(seed, "skew", "floor"))
    return FillSkew(fill, _rounded(skew.skew(counts)), _rounded(floor))


def cells(one: FillSkew) -> tuple[str, ...]:
    """Return the numbers in the order of ``HEAD``, those of IID clients in parentheses."""
    *own, gini = _texts(one.clients)
    return *(f"{text} ({iid})" for text, iid in zip(own, _texts(one.iid)[:-1], strict=True)), gini


def line(one: FillSkew) -> str:
    """Return the numbers in one sentence."""
    numbers = ", ".join(f"{name} {text}" for name, text in zip(HEAD, cells(one), strict=True))
    return f"skew of labels (in parentheses: IID clients of these sizes): {numbers}"


def _texts(one: Skew) -> list[str]:
    distances = [f"{value:.2f}" for value in (one.hellinger, one.jensen_shannon, one.total_variation)]
    return [*distances, f"{one.effective_classes:.1f}", f"{100 * one.missing_cells:.0f} %", f"{one.gini:.2f}"]


def _rounded(one: Skew) -> Skew:
    return Skew(*(round(value, _DECIMALS) for value in astuple(one)))
