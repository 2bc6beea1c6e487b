"""Sliced Wasserstein distance as MIND has it (Berthet et al., "Monge Inception Distance", 2026, arXiv 2605.06797)."""

import numpy as np
from numpy.typing import NDArray

from pipeline.evaluation.distances.arrays import Features, Floats, check

PROJECTIONS = 1000
_AT_A_TIME = 64
_SCALE = 3
"""MIND is the mean over the directions times 3 D, which puts it on the scale of the Fréchet distance."""


def sliced_wasserstein(real: Features, fake: Features, projections: int = PROJECTIONS, seed: int = 0) -> float:
    """Return MIND of ``real`` (N, D) and ``fake`` (M, D): 3 D times the mean squared distance along random directions.

    Along one direction the distance is Wasserstein's of order 2, which matches quantiles: exact, for equal or unequal
    N. Directions are uniform on the sphere and follow from ``seed`` and D alone. It is no unbiased estimate: a set of
    equal size is its floor. Raises DataError if a side has no images.
    """
    check(real, fake, 1, "the sliced Wasserstein distance")
    rng, dimension = np.random.default_rng(seed), real.shape[1]
    first, second, widths = _matched(len(real), len(fake))
    total = 0.0
    for start in range(0, projections, _AT_A_TIME):
        directions = rng.standard_normal((min(_AT_A_TIME, projections - start), dimension))
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        ours, theirs = (np.sort(_project(side, directions), axis=1) for side in (real, fake))
        total += float((((ours[:, first] - theirs[:, second]) ** 2) @ widths).sum())
    return float(_SCALE * dimension * total / projections)


def _project(features: Features, directions: Floats) -> Floats:
    """Return the coordinates (directions, N) of images along directions."""
    along: Floats = directions.astype(features.dtype) @ features.T
    return along.astype(np.float64)


def _matched(n: int, m: int) -> tuple[NDArray[np.int64], NDArray[np.int64], Floats]:
    """Return which of n sorted values meets which of m, and for what share of the quantiles: three of equal length.

    Quantile functions are steps of width 1 / n and 1 / m; between two neighbouring steps of either both are constant.
    """
    edges = np.unique(np.concatenate([np.arange(1, n + 1) * m, np.arange(1, m + 1) * n]))
    widths = np.diff(edges, prepend=0) / (n * m)
    return (edges - 1) // m, (edges - 1) // n, widths
