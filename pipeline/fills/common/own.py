"""Extra images that are made of a client's own: how many of each class, and from which real images.

The controls of the synthetic fill are compared with it at equal counts, so each client gets as many images as its
deficits come to (none with the rule ``same-total``, where it keeps all its real images and so its size). They go to its
own classes: to those with the fewest images first, until they are even. That is the most that balancing can do without
an image of another class, as the synthetic fill balances all classes. In proportion, a client would train on the mix
that it has without a fill, and the control would show nothing but augmentation.
"""

import numpy as np
from numpy.typing import NDArray

from pipeline import progress, seeds
from pipeline.clients.rounding import largest_remainder
from pipeline.fills.common.given import Given

Int64 = NDArray[np.int64]


def extra(given: Given) -> Int64:
    """Return how many extra images of each class each client gets, (clients, classes).

    In a data set with domains the classes of each domain are classes of their own, (clients, pairs).

    All fills of own images share the draw that breaks ties, so they differ in nothing but the images.
    """
    rng = seeds.generator(given.params.seed, "fills", "own")
    return spread(given.pair_counts, lacking(given), rng)


def lacking(given: Given) -> Int64:
    """Return how many images each client is short of the size that it has with the synthetic fill, (clients,)."""
    short: Int64 = given.deficits.filled.sum(axis=1) - given.counts.sum(axis=1)
    return short


def report_unfilled(given: Given, fill: str) -> None:
    """Say how many images clients lack that have none to make them from."""
    short = lacking(given)
    without = (short > 0) & ~given.counts.any(axis=1)
    if without.any():
        lost = int(short[without].sum())
        progress.say(f"fill {fill}: {without.sum()} clients without a real image get none of the {lost} that they lack")


def rows(given: Given, more: Int64) -> tuple[Int64, ...]:
    """Return, for each client, the row of the real image that each of its extra images is made from."""
    places = originals(given.pair_counts, more, given.partition.pairs)
    return tuple(given.partition.rows[own] for own in places)


def spread(counts: Int64, totals: Int64, rng: np.random.Generator) -> Int64:
    """Spread each client's total (clients,) over the classes that it has images of, so that these become even.

    ``counts`` are the real images, (clients, classes). The classes below a level are raised to it; where the level is
    no whole number, ``rng`` draws which classes get one image more. A client without images gets none.
    """
    held = counts > 0
    ordered = np.sort(np.where(held, counts, np.inf), axis=1)
    levels = (np.cumsum(ordered, axis=1) + totals[:, None]) / np.arange(1, counts.shape[1] + 1)
    # How many classes the total lifts off their place.
    raised = (np.isfinite(ordered) & (levels >= ordered)).sum(axis=1)
    level = np.take_along_axis(levels, np.maximum(raised - 1, 0)[:, None], axis=1)
    exact = np.where(held, np.maximum(level - counts, 0), 0)
    return largest_remainder(exact, np.where(held.any(axis=1), totals, 0), rng)


def originals(counts: Int64, more: Int64, labels: Int64) -> tuple[Int64, ...]:
    """Return, for each client, which real image each extra one is made from, label by label.

    ``counts`` and ``more`` are the real and the extra images, (clients, classes); ``labels`` (N,) are those of the real
    images in order of client, and the places that are returned are places in it. A client's images of a label are used
    in turn.
    """
    starts = np.concatenate([[0], np.cumsum(counts.sum(axis=1))])
    chosen = []
    for client, wanted in enumerate(more):
        own = labels[starts[client] : starts[client + 1]]
        parts = [np.resize(np.flatnonzero(own == label), wanted[label]) for label in np.flatnonzero(wanted)]
        chosen.append(starts[client] + np.concatenate([np.empty(0, np.int64), *parts]))
    return tuple(chosen)
