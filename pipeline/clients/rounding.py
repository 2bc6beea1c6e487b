"""Round shares to whole images without losing one."""

import numpy as np
from numpy.typing import NDArray

Int64 = NDArray[np.int64]
Float = NDArray[np.floating]


def largest_remainder(exact: Float, totals: Int64) -> Int64:
    """Round each row of ``exact`` (rows, cells) to integers that sum to its total; ties go to the lower cell.

    Each total must lie within one row's length of the row's sum, rounded down cell by cell.
    """
    floor = np.floor(exact + 1e-9).astype(np.int64)
    order = np.argsort(floor - exact, axis=1, kind="stable")
    rank = np.empty_like(order)
    np.put_along_axis(rank, order, np.arange(exact.shape[1])[None, :], axis=1)
    rounded: Int64 = floor + (rank < (totals - floor.sum(axis=1))[:, None])
    return rounded
