"""Maximum mean discrepancies: KID (Bińkowski et al., ICLR 2018, arXiv 1801.01401) and CMMD (Jayasumana et al., CVPR
2024, arXiv 2401.09603), both with the unbiased estimate, which may be a little below 0.
"""

from collections.abc import Callable

import numpy as np

from pipeline.evaluation.distances.arrays import Features, Floats, centred, check, squared

Kernel = Callable[[Floats, Floats], float]
_LARGEST_SUBSET = 1000
_CMMD_SIGMA, _CMMD_SCALE = 10.0, 1000.0


def subset_size(images: int) -> int:
    """Return how many images ``kid`` takes in each subset: half of them, from 2 to 1,000, the usual number."""
    return max(2, min(_LARGEST_SUBSET, images // 2))


def kid(
    real: Features, fake: Features, rng: np.random.Generator, subset: int | None = None, subsets: int = 20
) -> tuple[float, float]:
    """Return the Kernel Inception Distance of ``real`` (N, D) and ``fake`` (M, D): mean and spread over subsets.

    Each subset has as many images of either side, drawn without replacement: ``subset``, or what ``subset_size`` says
    for the smaller side. The kernel is (x y / D + 1)^3. The spread is the standard deviation over the subsets, which
    overlap; the floor tells more. Raises DataError for fewer than 2 images on either side.
    """
    check(real, fake, 2, "KID")
    fewest = min(len(real), len(fake))
    size = min(subset or subset_size(fewest), fewest)
    found = []
    for _ in range(subsets):
        ours, theirs = (side[rng.choice(len(side), size, replace=False)].astype(np.float64) for side in (real, fake))
        found.append(_unbiased(ours, theirs, _cubic, _cubic_diagonal))
    return float(np.mean(found)), float(np.std(found))


def cmmd(real: Features, fake: Features) -> float:
    """Return CMMD of ``real`` (N, D) and ``fake`` (M, D), CLIP embeddings of length 1.

    The kernel is exp(-|x - y|^2 / (2 sigma^2)) with sigma = 10; the squared discrepancy is returned 1,000-fold, as the
    paper prints it. Raises DataError for fewer than 2 images on either side.
    """
    check(real, fake, 2, "CMMD")
    ours, theirs = centred(real, fake)
    return _CMMD_SCALE * _unbiased(ours, theirs, _gaussian, lambda _: 0.0)


def _unbiased(ours: Floats, theirs: Floats, kernel: Kernel, diagonal: Callable[[Floats], float]) -> float:
    """Return the mean kernel of two different images of one side, on both sides, less twice that across the sides.

    ``kernel`` returns the kernel's deviation from 1, summed over all pairs of rows and columns, ``diagonal`` that of
    each row with itself: the 1 cancels, and would cost digits.
    """
    n, m = len(ours), len(theirs)
    own = (kernel(ours, ours) - diagonal(ours)) / (n * (n - 1))
    other = (kernel(theirs, theirs) - diagonal(theirs)) / (m * (m - 1))
    return float(own + other - 2 * kernel(ours, theirs) / (n * m))


def _cubic(rows: Floats, columns: Floats) -> float:
    return _cube(rows @ columns.T / rows.shape[1])


def _cubic_diagonal(rows: Floats) -> float:
    return _cube((rows**2).mean(axis=1))


def _cube(products: Floats) -> float:
    """Return the sum of (p + 1)^3 - 1."""
    return float((products * (3 + products * (3 + products))).sum())


def _gaussian(rows: Floats, columns: Floats) -> float:
    return float(sum(np.expm1(found / (-2 * _CMMD_SIGMA**2)).sum() for _, found in squared(rows, columns)))
