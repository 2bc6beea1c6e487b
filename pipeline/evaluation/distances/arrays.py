"""What the distances ask of their arrays, and Euclidean distances in blocks that fit into memory."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import DataError

Features = NDArray[np.floating]
Floats = NDArray[np.float64]
_CELLS = 1 << 22
"""Distances held at a time: 32 MB."""


def check(real: Features, fake: Features, least: int, what: str) -> None:
    """Raise DataError unless both sets have ``least`` images; ``what`` names the distance."""
    assert real.ndim == fake.ndim == 2
    assert real.shape[1] == fake.shape[1], "features of two extractors"
    for title, features in (("real", real), ("synthetic", fake)):
        if len(features) < least:
            which = f"{len(features):,} {title} images"
            raise DataError(
                f"{what} needs at least {least:,} images on either side", which, "use more, or leave it out"
            )
        if not np.isfinite(features).all():
            raise DataError(f"{what} needs finite features", f"{title} images", "look at the images and the extractor")


def centred(real: Features, fake: Features) -> tuple[Floats, Floats]:
    """Return both sets with the real mean at the origin, where differences of squares lose fewest digits."""
    origin = real.mean(axis=0, dtype=np.float64)
    return real - origin, fake - origin


def squared(rows: Floats, columns: Floats) -> Iterator[tuple[slice, Floats]]:
    """Yield squared distances (n, M) between some rows (N, D) and all columns (M, D), and which rows they are of.

    Distances that rounding alone would tell from 0 are 0.
    """
    own, others = (rows**2).sum(axis=1), (columns**2).sum(axis=1)
    step = max(1, _CELLS // max(len(columns), 1))
    for start in range(0, len(rows), step):
        some = slice(start, min(start + step, len(rows)))
        sums = own[some, None] + others
        found = sums - 2 * (rows[some] @ columns.T)
        found[found < 1e-12 * sums] = 0
        yield some, found
