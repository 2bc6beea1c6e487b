"""Round shares to whole images without losing one.

``largest_remainder`` rounds each row by itself. ``controlled`` rounds a table, so that neither rows nor columns drift.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csgraph, csr_array

Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]
Float = NDArray[np.floating]

_HAIR = 1e-9
"""How far floats may leave a whole number that is meant."""
_SUM_HAIR = 1e-6
"""The same for sums of many of them."""
_BITS = 30
"""Binary digits of a remainder that are rounded one after the other."""


def largest_remainder(exact: Float, totals: Int64, rng: np.random.Generator | None = None) -> Int64:
    """Round each row of ``exact`` (rows, cells) to integers that sum to its total.

    ``rng`` orders equal remainders, separately for each row; without it the lower cell is rounded up first. Each total
    must lie within one row's length of the row's sum, rounded down cell by cell.
    """
    floor = np.floor(exact + _HAIR).astype(np.int64)
    keys = floor - exact
    if rng is not None:
        keys = np.round(keys, 9) + rng.random(keys.shape) * (_HAIR / 10)
    order = np.argsort(keys, axis=1, kind="stable")
    rank = np.empty_like(order)
    np.put_along_axis(rank, order, np.arange(exact.shape[1])[None, :], axis=1)
    rounded: Int64 = floor + (rank < (totals - floor.sum(axis=1))[:, None])
    return rounded


def controlled(exact: Float, total: int, rng: np.random.Generator) -> Int64:
    """Round ``exact`` (rows, columns) so that every cell, the sum of every row and of every column go down or up.

    So none of them is off by one: what is whole stays as it is. All cells together sum to ``total``, the whole number
    nearest to the sum of ``exact`` (one of two, halfway between). A cell goes up with the probability of its remainder,
    so no row or column is favoured for its place.

    The remainders are rounded one binary digit after the other, from the last: half of the cells that have the digit
    go up by its value, half go down, in every row and in every column (see ``_halves``). A row of an odd number of such
    cells is then off by one digit, so in the end by less than 1/2 + 1/4 + ... = 1 (Doerr, "Generating randomized
    roundings with cardinality constraints and derandomizations", STACS 2006; such roundings of tables exist by
    Bacharach, "Matrix rounding problems", Management Science 12, 1966). Remainders that are no binary fractions are cut
    after 30 digits, which lets a whole sum go astray in few draws of a very large table: then all is drawn again, as
    where the cells sum to the number on the other side of ``total``, which happens in less than half of the draws.
    """
    floor = np.floor(exact + _HAIR).astype(np.int64)
    parts = np.clip(exact - floor, 0.0, 1.0)
    wanted = total - int(floor.sum())
    if abs(wanted - parts.sum()) > 0.5 + 10 * _SUM_HAIR:
        raise ValueError(f"{total} is not {exact.sum()} rounded")
    while True:
        up = _drawn(parts, rng)
        if up.sum() == wanted and all(_is_rounded(up.sum(axis=axis), parts.sum(axis=axis)) for axis in (0, 1)):
            rounded: Int64 = floor + up
            return rounded


def _is_rounded(sums: Int64, exact: Float) -> bool:
    return bool(((sums >= np.floor(exact + _SUM_HAIR)) & (sums <= np.ceil(exact - _SUM_HAIR))).all())


def _drawn(parts: Float, rng: np.random.Generator) -> Int64:
    """Return 0 or 1 for each part, from the last binary digit to the first."""
    units = np.rint(parts * (1 << _BITS)).astype(np.int32).ravel()
    for place in range(_BITS):
        digit = np.int32(1 << place)
        cells = np.flatnonzero(units & digit)
        if len(cells):
            rows, columns = np.divmod(cells.astype(np.int32), np.int32(parts.shape[1]))
            units[cells] += np.where(_halves(rows, columns, rng), digit, -digit)
    return (units >> _BITS).reshape(parts.shape).astype(np.int64)


def _halves(rows: Int32, columns: Int32, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Split cells in two halves that share every row, every column and the whole evenly, to one cell; return one.

    Each cell has a partner in its row and one in its column, where the cells without one are partners of each other.
    Partners go to different halves. A step to the partner in the row and from there to the partner in the column stays
    in the half, so the cells of a half that hang together are a cycle of these steps; a coin decides which of two
    cycles of partners is which.
    """
    in_row = _partners(rows)
    step = _partners(columns)[in_row]
    size = len(step)
    graph = csr_array((np.ones(size, np.int8), step, np.arange(size + 1, dtype=np.int32)), shape=(size, size))
    cycles, cycle = csgraph.connected_components(graph, directed=False)
    other = cycle[in_row]
    coins = rng.random(cycles) < 0.5
    half: NDArray[np.bool_] = coins[np.minimum(cycle, other)] == (cycle < other)
    return half[: len(rows)]


def _partners(lines: Int32) -> Int32:
    """Return each cell's partner in its line (row or column); one cell more, if their number is odd, makes it even."""
    short = lines.astype(np.uint16) if lines.max() < 1 << 16 else lines  # NumPy sorts short numbers by counting
    order = np.argsort(short, kind="stable").astype(np.int32)
    ends = np.flatnonzero(np.diff(lines[order], append=-1))
    lone = np.zeros(len(lines), bool)
    lone[ends] = np.diff(ends, prepend=-1) % 2 == 1
    more = np.arange(len(lines), len(lines) + len(lines) % 2, dtype=np.int32)
    paired = np.concatenate([order[~lone], order[lone], more])
    partner = np.empty_like(paired)
    partner[paired[0::2]], partner[paired[1::2]] = paired[1::2], paired[0::2]
    return partner
