"""How much the label distributions of clients differ, beside what chance alone makes of IID clients of the same sizes.

p is the label distribution of one client, q that of the images of all clients together. Distances between the two:

* Hellinger, sqrt(1/2 sum (sqrt p - sqrt q)^2) (Hellinger, J. reine angew. Math. 136, 1909),
* Jensen-Shannon, the root of the divergence in bits (Lin, IEEE Trans. Inf. Theory 37, 1991; Endres and Schindelin, 49,
  2003),
* total variation, 1/2 sum |p - q|: half the L1 distance, with no order among labels.

They are averaged over clients **weighted by their images**: with these weights the clients' p average to q. Total
variation is then the share of all images that would need another label to make every client's distribution q. Effective
classes exp(H(p)), with H the entropy (Hill, Ecology 54, 1973), are a **plain mean** over the clients that hold images.
For CIFAR-10 over 100 clients by Dirichlet(0.1) that gives distances of 0.71, 0.76 and 0.77 and 2.2 effective classes
(means of many partitions); a plain mean would give distances of 0.69, 0.74 and 0.74, a weighted one 2.0 classes.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict
from scipy.special import entr, rel_entr

Int64 = NDArray[np.int64]

DRAWS = 2_000
"""IID clients that a floor is the mean over, at least: each client's size is drawn equally often."""
_CELLS = 1 << 18  # looked at together, so that memory does not grow with clients
_MOST = 10**9  # images that NumPy draws without replacement


@dataclass(frozen=True)
class Skew:
    """How unequal clients are. Distances are between 0 and 1, 0 if all clients have the same distribution."""

    __pydantic_config__ = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)

    hellinger: float
    jensen_shannon: float
    total_variation: float
    effective_classes: float
    """As many equally frequent classes have the same entropy; 1 where clients have one class each."""
    missing_cells: float
    """Share of the pairs of a client and a class without an image; a class that nobody holds is missed by nobody."""
    gini: float
    """Gini coefficient of the numbers of images, 0 if all clients have equally many."""


def skew(counts: Int64) -> Skew:
    """Return the skew of clients that hold these images, (clients, classes); raise ValueError if they hold none."""
    sizes, pool = _margins(counts)
    held = counts[:, counts.any(axis=0)]
    step = _step(pool)
    return _mean([_sums(held[start : start + step], pool) for start in range(0, len(held), step)], sizes, len(pool))


def floor(counts: Int64, rng: np.random.Generator) -> Skew:
    """Return the expected skew of IID clients: each draws as many images as it has, at random, from those of all.

    Images are drawn without replacement. It is a Monte Carlo mean over at least ``DRAWS`` clients, each drawn by
    itself, since a mean needs no more of the joint distribution. The order of the clients does not count. Raises
    ValueError if clients hold no image.
    """
    sizes, pool = _margins(counts)
    tiled = np.tile(np.sort(sizes), -(-DRAWS // len(sizes)))
    step = _step(pool)
    blocks = (tiled[start : start + step] for start in range(0, len(tiled), step))
    return _mean([_sums(_drawn(block, pool, rng), pool) for block in blocks], tiled, len(pool))


def _margins(counts: Int64) -> tuple[Int64, Int64]:
    """Return the images of each client, and of each class that somebody holds."""
    by_class = counts.sum(axis=0)
    if not by_class.any():
        raise ValueError("no client holds an image")
    return counts.sum(axis=1), by_class[by_class > 0]


def _step(pool: Int64) -> int:
    return max(1, _CELLS // len(pool))


def _drawn(sizes: Int64, pool: Int64, rng: np.random.Generator) -> Int64:
    """Return how many images of each class clients of these sizes draw from the pool, class after class."""
    counts = np.empty((len(sizes), len(pool)), np.int64)
    left, wanted = int(pool.sum()), sizes.copy()
    for label, images in enumerate(pool.tolist()):
        if left < _MOST:
            counts[:, label] = rng.hypergeometric(images, left - images, wanted)
        else:  # so many that replacement changes no digit
            counts[:, label] = rng.binomial(wanted, images / left)
        wanted -= counts[:, label]
        left -= images
    return counts


def _sums(counts: Int64, pool: Int64) -> NDArray[np.float64]:
    """Return the sums over clients of the three distances, each times its images, of effective classes and of zeros."""
    sizes = counts.sum(axis=1)
    p, q = counts / np.maximum(sizes, 1)[:, None], pool / pool.sum()
    middle = (p + q) / 2
    hellinger = np.sqrt(((np.sqrt(p) - np.sqrt(q)) ** 2).sum(axis=1) / 2)
    bits = (rel_entr(p, middle) + rel_entr(q, middle)).sum(axis=1) / 2 / np.log(2)
    shannon = np.sqrt(np.maximum(bits, 0.0))  # rounding can leave a hair below 0
    variation = abs(p - q).sum(axis=1) / 2
    classes = np.exp(entr(p).sum(axis=1))[sizes > 0]
    weighted = [float(sizes @ distance) for distance in (hellinger, shannon, variation)]
    return np.array([*weighted, classes.sum(), float((counts == 0).sum())])


def _mean(sums: list[NDArray[np.float64]], sizes: Int64, classes: int) -> Skew:
    images = sizes.sum()
    totals = np.sum(sums, axis=0) / [images, images, images, (sizes > 0).sum(), len(sizes) * classes]
    return Skew(*[*totals.tolist(), _gini(sizes)])


def _gini(sizes: Int64) -> float:
    """Return the mean difference between two clients' sizes, divided by twice the mean size."""
    places = 2 * np.arange(1, len(sizes) + 1) - len(sizes) - 1
    return float(places @ np.sort(sizes).astype(float) / (len(sizes) * sizes.sum()))
