"""Clipped Density and Clipped Coverage (Salvy, Talbot & Thirion, ICLR 2026, arXiv 2507.01761).

Both lie between 0 and 1 and are read as shares of good images: with a share p of images like the real ones and the
rest far away, both are p. Around each real image is a ball that reaches to its K-th nearest other real image.
"""

import numpy as np
from scipy import stats

from pipeline.evaluation.distances.arrays import Features, Floats, centred, check, squared

K = 5
"""Neighbours, as the paper has it."""
_EQUAL = 1 + 1e-9
"""Balls are closed; so much more counts as the border, since a distance is rounded differently in another block."""


def clipped_density(real: Features, fake: Features, k: int = K) -> float:
    """Return how realistic the images ``fake`` (M, D) are beside ``real`` (N, D): fidelity, from 0 to 1.

    The radius of a ball is at most the median radius, so that real outliers accept nothing far away. An image scores
    the number of balls it lies in, divided by K, and at most 1, so that no image makes up for bad ones. The mean score
    is divided by that of the real images, each without its own ball, and cut at 1.

    Raises DataError for fewer than K + 1 real images, or no other ones.
    """
    check(real, fake, 1, "Clipped Density")
    check(real, real, k + 1, "Clipped Density")
    ours, theirs = centred(real, fake)
    radii = np.sqrt(_nearest(ours, ours, k, others=True)[:, -1])
    reach = np.minimum(radii, np.median(radii)) ** 2 * _EQUAL
    balls, own = np.zeros(len(theirs), np.int64), np.zeros(len(ours), np.int64)
    for some, found in squared(ours, theirs):
        balls += (found <= reach[some, None]).sum(axis=0)
    for some, found in squared(ours, ours):
        own += (found <= reach[some, None]).sum(axis=0)
    ideal = np.minimum((own - 1) / k, 1).mean()  # without its own ball, in which every real image lies
    return float(min(np.minimum(balls / k, 1).mean() / ideal, 1))


def clipped_coverage(real: Features, fake: Features, k: int = K) -> float:
    """Return how much of what is real the images ``fake`` (M, D) reach: coverage, from 0 to 1.

    A ball scores the number of these images in it, divided by K, and at most 1. The mean score is set against what it
    is expected to be if m of M images came from the distribution of the real ones, and the others lay in no ball; m / M
    is returned, interpolated between whole m. The expectation is exact, see ``expected``.

    Raises DataError for fewer than K + 1 real images, or no other ones.
    """
    check(real, fake, 1, "Clipped Coverage")
    check(real, real, k + 1, "Clipped Coverage")
    ours, theirs = centred(real, fake)
    reach = _nearest(ours, ours, k, others=True)[:, -1] * _EQUAL
    nearest = _nearest(ours, theirs, min(k, len(theirs)), others=False)
    score = (nearest <= reach[:, None]).sum() / (k * len(ours))
    return float(np.interp(score, expected(len(real), len(fake), k), np.linspace(0, 1, len(fake) + 1)))


def expected(real: int, fake: int, k: int = K) -> Floats:
    """Return the mean clipped score of a ball (M + 1,) for m = 0 ... M good images; ascending.

    A ball has at least j good images in it if its K-th real neighbour comes after the j-th of the m good images. All
    orders of the N - 1 other real images and the m good ones by their distance are equally likely, so this is the
    chance that at least j of the first K + j - 1 are good ones: hypergeometric. The score is the mean over j = 1 ... K.
    The paper writes the same as a sum over the beta-binomial distribution.
    """
    good = np.arange(fake + 1)
    chances = [
        stats.hypergeom.sf(j - 1, real - 1 + good, good, np.minimum(k + j - 1, real - 1 + good))
        for j in range(1, k + 1)
    ]
    values: Floats = np.mean(chances, axis=0)
    return values


def _nearest(rows: Floats, columns: Floats, k: int, others: bool) -> Floats:
    """Return the squared distances (N, k) of each row to its nearest columns, ascending; ``others``: not to itself."""
    result = np.empty((len(rows), k))
    for some, found in squared(rows, columns):
        if others:
            found[np.arange(len(found)), np.arange(some.start, some.stop)] = np.inf
        result[some] = np.sort(np.partition(found, k - 1, axis=1)[:, :k], axis=1)
    return result
