"""Deficit rules: how many images of each label every client should have, and is to be given."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from pipeline.clients.rounding import largest_remainder
from pipeline.params import DeficitsParams

Int64 = NDArray[np.int64]


def deficits(have: Int64, params: DeficitsParams) -> tuple[Int64, Int64]:
    """Return what the rule asks for and how many images are to be made, (clients, classes) each.

    ``have`` are the clients' real images, (clients, classes).
    """
    want = RULES[params.rule](have, params)
    return want, limit(want - have, params)


def own_max(have: Int64, params: DeficitsParams) -> Int64:
    """Raise each class to the client's largest class: uniform labels, all real images kept."""
    return np.broadcast_to(have.max(axis=1, keepdims=True), have.shape)


def global_mean(have: Int64, params: DeficitsParams) -> Int64:
    """Raise each class to N / (clients x classes), the mean over all cells, rounded up."""
    return np.maximum(have, -(-int(have.sum()) // have.size))


def global_share(have: Int64, params: DeficitsParams) -> Int64:
    """Fewest images that give the client the label shares of all clients together without dropping one.

    The class that is largest against its global share decides the client's total; sizes are rounded by largest
    remainder, and never below what the client has.
    """
    shares = have.sum(axis=0) / have.sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        totals = np.where(shares > 0, have / shares, 0).max(axis=1)
    return np.maximum(have, largest_remainder(totals[:, None] * shares, np.ceil(totals - 1e-9).astype(np.int64)))


def fixed(have: Int64, params: DeficitsParams) -> Int64:
    """Raise each class to ``images_per_class``."""
    return np.maximum(have, params.images_per_class)


def limit(lacking: Int64, params: DeficitsParams) -> Int64:
    """Apply ratio, then the cap for each client, then the cap for all; each scales its deficits in proportion."""
    wanted = np.rint(lacking.sum(axis=1) * params.ratio).astype(np.int64)
    made = largest_remainder(lacking * params.ratio, wanted)
    if params.max_per_client is not None:
        made = _scale(made, np.minimum(made.sum(axis=1), params.max_per_client))
    if params.max_total is not None and made.sum() > params.max_total:
        made = _scale(made.reshape(1, -1), np.array([params.max_total])).reshape(made.shape)
    return made


def _scale(counts: Int64, totals: Int64) -> Int64:
    """Scale each row down to its total."""
    sums = counts.sum(axis=1)
    factor = np.divide(totals, sums, out=np.zeros(len(sums)), where=sums > 0)
    return largest_remainder(counts * factor[:, None], totals)


RULES: dict[str, Callable[[Int64, DeficitsParams], Int64]] = {
    "own-max": own_max,
    "global-mean": global_mean,
    "global-share": global_share,
    "fixed": fixed,
}
