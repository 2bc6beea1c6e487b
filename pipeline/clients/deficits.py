"""Deficit rules: how many images of each label every client should have, and is to be given."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline import seeds
from pipeline.clients.rounding import controlled, largest_remainder
from pipeline.params import DeficitsParams

Int64 = NDArray[np.int64]
Float = NDArray[np.floating]


@dataclass(frozen=True)
class Cut:
    """A limit, and how many images it leaves out beyond the limits before it."""

    name: str
    """``ratio``, ``max_per_client`` or ``max_total``."""
    images: int


def deficits(have: Int64, params: DeficitsParams, seed: int, domains: Sequence[str] = ()) -> tuple[Int64, Int64]:
    """Return what the rule asks for and how many images are to be made, (clients, classes) each.

    ``have`` are the clients' real images, (clients, classes). No client lacks a class that nobody has, and such classes
    count in no mean: rules see the others only. ``seed`` decides between equals where numbers are rounded.

    With ``domains``, their names, the columns are pairs of class and domain (see ``artifacts.pairs``). The rule is then
    carried out inside each domain, for the clients that have images of it, as if these were all images; or with
    ``params.domains: all`` for every client and pair, as if each pair were a class. Limits are those of all together.
    """
    want = np.zeros_like(have)
    if domains and params.domains == "own":
        classes = have.shape[1] // len(domains)
        for domain, name in enumerate(domains):
            columns = slice(domain * classes, (domain + 1) * classes)
            holders = have[:, columns].any(axis=1)
            rng = seeds.generator(seed, "deficits", params.rule, "domain", name)
            want[holders, columns] = _wanted(have[holders, columns], params, rng)
    else:
        want = _wanted(have, params, seeds.generator(seed, "deficits", params.rule))
    lacking = np.maximum(want - have, 0)
    return want, limit(lacking, params, seeds.generator(seed, "deficits", "limits"))


def _wanted(have: Int64, params: DeficitsParams, rng: np.random.Generator) -> Int64:
    """Return what the rule asks for, (clients, classes), where nobody lacks a class that nobody has."""
    held, want = have.any(axis=0), np.zeros_like(have)
    if held.any():
        want[:, held] = RULES[params.rule](have[:, held], params, rng)
    return want


def surplus(have: Int64, want: Int64, missing: Int64, params: DeficitsParams, seed: int) -> Int64:
    """Return how many real images of each class each client gives up, (clients, classes), for those it is given.

    Only the rule ``same-total`` takes images away: of the classes of which a client has more than the rule asks for, in
    proportion, and as many as it is given (``missing``), so that its size stays. ``seed`` decides between equals.
    """
    if params.rule != "same-total":
        return np.zeros_like(have)
    beyond, given = np.maximum(have - want, 0), missing.sum(axis=1)
    all_of_it = np.maximum(beyond.sum(axis=1), 1)
    exact = beyond * (given / all_of_it)[:, None]
    return largest_remainder(exact, given, seeds.generator(seed, "deficits", "surplus"))


def own_max(have: Int64, params: DeficitsParams, rng: np.random.Generator) -> Int64:
    """Raise each class to the client's largest class: uniform labels, all real images kept."""
    return np.broadcast_to(have.max(axis=1, keepdims=True), have.shape)


def global_mean(have: Int64, params: DeficitsParams, rng: np.random.Generator) -> Int64:
    """Raise each class to N / (clients x classes), the mean over all cells, rounded up."""
    return np.maximum(have, -(-int(have.sum()) // have.size))


def global_share(have: Int64, params: DeficitsParams, rng: np.random.Generator) -> Int64:
    """Fewest images that give the client the label shares of all clients together without dropping one.

    The class that is largest against its global share decides the client's total; sizes are rounded by largest
    remainder, and never below what the client has. ``rng`` orders equal remainders, separately for
    each client.
    """
    shares = have.sum(axis=0) / have.sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        totals = np.where(shares > 0, have / shares, 0).max(axis=1)
    sizes = np.ceil(totals - 1e-9).astype(np.int64)
    return np.maximum(have, largest_remainder(totals[:, None] * shares, sizes, rng))


def fixed(have: Int64, params: DeficitsParams, rng: np.random.Generator) -> Int64:
    """Raise each class to ``images_per_class``."""
    return np.maximum(have, params.images_per_class)


def same_total(have: Int64, params: DeficitsParams, rng: np.random.Generator) -> Int64:
    """Give each class an equal part of as many images as the client has; what is beyond that part is dropped.

    The client's size stays (Federated Balanced Learning, arXiv 2601.14042, balances "under a fixed number of data
    samples"), so a gain cannot come from more images or more steps. ``rng`` draws which classes get one image more.
    """
    sizes = have.sum(axis=1)
    return largest_remainder(np.repeat(sizes[:, None] / have.shape[1], have.shape[1], axis=1), sizes, rng)


def limit(lacking: Int64, params: DeficitsParams, rng: np.random.Generator) -> Int64:
    """Scale deficits down to the ratio, to at most ``max_per_client`` for each client, and to ``max_total`` in all.

    Each limit applies to what the ones before it leave, and scales in proportion: the ratio and ``max_total`` all
    deficits, ``max_per_client`` those of a client that is above it. The result is rounded once, so that each deficit,
    each client's sum and each label's sum over all clients is its exact share, rounded down or up (see ``controlled``).
    """
    before = lacking.sum(axis=1)
    limits = [before.astype(float), *(images for _, images in _limited(before, params))]
    if (limits[-1] == before).all():
        return lacking
    factors = np.divide(limits[-1], before, out=np.zeros(len(before)), where=before > 0)
    return controlled(lacking * factors[:, None], _nearest(limits[-1]), rng)


def cuts(lacking: Int64, params: DeficitsParams) -> tuple[Cut, ...]:
    """Return every limit that is set, a ratio of 1 excepted, and how many of the ``lacking`` images it cuts."""
    before, found = lacking.sum(axis=1), list[Cut]()
    left = int(before.sum())
    for name, images in _limited(before, params):
        found.append(Cut(name, left - _nearest(images)))
        left = _nearest(images)
    return tuple(found)


def _limited(before: Int64, params: DeficitsParams) -> Iterator[tuple[str, Float]]:
    """Yield each limit with the images that it leaves each client, not rounded."""
    images = before.astype(float)
    if params.ratio != 1:
        images = images * params.ratio
        yield "ratio", images
    if params.max_per_client is not None:
        images = np.minimum(images, params.max_per_client)
        yield "max_per_client", images
    if params.max_total is not None:
        images = images * (min(1.0, params.max_total / images.sum()) if images.any() else 1.0)
        yield "max_total", images


def _nearest(images: Float) -> int:
    return math.floor(float(images.sum()) + 0.5 + 1e-6)  # floats may leave a half a hair short


RULES: dict[str, Callable[[Int64, DeficitsParams, np.random.Generator], Int64]] = {
    "own-max": own_max,
    "global-mean": global_mean,
    "global-share": global_share,
    "fixed": fixed,
    "same-total": same_total,
}
