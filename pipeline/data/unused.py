"""Real training images that no client holds, and how they are shared out among those who look at them."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline import seeds
from pipeline.artifacts.partition import Partition
from pipeline.data.decoded import Decoded

Int64 = NDArray[np.int64]


def unused(data: Decoded, split: Partition) -> Int64:
    """Return the rows of the training array that no client holds, ascending; held-out test images are none of them."""
    return np.setdiff1d(data.train_rows, split.rows)


def parts(rows: Int64, labels: Int64, shares: Sequence[float], seed: int) -> tuple[Int64, ...]:
    """Share rows (N,) out in disjoint parts, each with its share of every class, and return them in ascending order.

    ``labels`` (N,) are those of the rows, ``seed`` decides the draw. The shares sum to at most 1; what is left over is
    in no part. A class is cut at its cumulated shares, where half an image counts as one: shares of 0.5 and 0.5 of 3
    images are 2 and 1. Raises ValueError for shares that are negative or sum to more than 1.
    """
    ends = np.cumsum([0.0, *shares])
    if min(shares, default=0.0) < 0 or ends[-1] > 1 + 1e-9:
        raise ValueError(f"shares {list(shares)}")
    chosen: list[list[Int64]] = [[np.empty(0, np.int64)] for _ in shares]
    for label in np.unique(labels).tolist():
        mixed = seeds.generator(seed, "unused", label).permutation(rows[labels == label])
        places = np.floor(ends * len(mixed) + 0.5).astype(np.int64)
        for part, start, stop in zip(chosen, places[:-1], places[1:], strict=True):
            part.append(mixed[start:stop])
    return tuple(np.sort(np.concatenate(part)) for part in chosen)
