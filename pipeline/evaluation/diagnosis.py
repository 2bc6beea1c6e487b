"""Distances of synthetic from real images, each beside its floor: two sets of real images of the same size.

They say how images differ, and not whether they are useful: they diagnose, and decide nothing.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pipeline import seeds
from pipeline.artifacts.quality import Distance
from pipeline.evaluation import distances
from pipeline.evaluation.sides import Int64

Features = NDArray[np.float32]
_DIGITS = 5


@dataclass(frozen=True)
class Kind:
    """A distance by its name in params.yaml."""

    title: str
    better: Literal["higher", "lower"]
    per_class: bool
    least: int
    """Images of each side that it needs."""
    measure: Callable[[Features, Features], float | tuple[float, float]]


def _kid(real: Features, fake: Features) -> tuple[float, float]:
    return distances.kid(real, fake, seeds.generator(0, "evaluate", "kid"))


KINDS = {
    "clipped-density": Kind("Clipped Density", "higher", True, 6, distances.clipped_density),
    "clipped-coverage": Kind("Clipped Coverage", "higher", True, 6, distances.clipped_coverage),
    "kid": Kind("KID", "lower", True, 20, _kid),
    "sliced-wasserstein": Kind("sliced Wasserstein", "lower", False, 20, partial(distances.sliced_wasserstein, seed=0)),
    "frechet": Kind("Frechet", "lower", False, distances.FEWEST, distances.frechet),
    "cmmd": Kind("CMMD", "lower", False, 20, distances.cmmd),
}


@dataclass(frozen=True)
class Sets:
    """Features of equally many images of each class: synthetic, real, and other real ones for the floor."""

    counts: Int64
    """(classes,) images of each class and set; the features are class by class."""
    synthetic: Features
    real: Features
    others: Features

    def of_class(self, label: int) -> "Sets":
        """Return the images of one class."""
        stop = int(self.counts[: label + 1].sum())
        part = slice(stop - int(self.counts[label]), stop)
        return Sets(self.counts[[label]], self.synthetic[part], self.real[part], self.others[part])


def measure(sets: Sets, labels: Int64, names: Sequence[str]) -> tuple[Distance, ...]:
    """Return the distances of one label, or of all together.

    Those that need more images, or are for all classes only, are left out.
    """
    alone = len(labels) == 1
    kinds = [KINDS[name] for name in names if KINDS[name].per_class or not alone]
    return _measured(sets.of_class(int(labels[0])) if alone else sets, kinds)


def left_out(sets: Sets, names: Sequence[str]) -> list[str]:
    """Return sentences on the distances that are not measured over all classes."""
    images = len(sets.real)
    kinds = [KINDS[name] for name in names]
    return [
        f"{kind.title} is left out: {images} images on each side, and it needs {kind.least:,}"
        for kind in kinds
        if images < kind.least
    ]


def _measured(sets: Sets, kinds: Sequence[Kind]) -> tuple[Distance, ...]:
    images, found = len(sets.real), []
    for kind in kinds:
        if images < kind.least:
            continue
        value, std = _pair(kind.measure(sets.real, sets.synthetic))
        floor, _ = _pair(kind.measure(sets.real, sets.others))
        found.append(Distance(kind.title, value, floor, std, images, kind.better))
    return tuple(found)


def _pair(found: float | tuple[float, float]) -> tuple[float, float | None]:
    if isinstance(found, tuple):
        return round(found[0], _DIGITS), round(found[1], _DIGITS)
    return round(found, _DIGITS), None
