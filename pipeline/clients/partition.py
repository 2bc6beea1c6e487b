"""Partition schemes: the usual non-IID ways to give every real training image to a client."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from pipeline import seeds
from pipeline.clients.owners import Owners
from pipeline.clients.rounding import largest_remainder
from pipeline.errors import ParameterError
from pipeline.params import PartitionParams

Int64 = NDArray[np.int64]
_REDRAWS = 1_000


def partition(
    labels: Int64, classes: int, params: PartitionParams, root: int, owners: Owners | None = None
) -> tuple[Int64, Int64]:
    """Return rows (M,) and the client of each (M,); a pure function of its arguments.

    ``root`` is the root seed, which counts where the partition has no seed of its own. ``owners`` say who holds which
    image where the scheme does not draw it. All rows that have an owner are used, or ``max_images`` of them with the
    classes in proportion. Schemes do not see classes without an image, so they give them to no client. Raises
    ParameterError if the scheme cannot be met, such as fewer images than ``clients * min_size``.
    """
    seed = params.seed_under(root)
    usable = np.ones(len(labels), bool) if owners is None else owners.clients >= 0
    rows = _subset(labels, usable, classes, params, seed)
    if owners is not None:
        return rows, owners.clients[rows]
    needed = params.drawn_clients * (max(params.min_size, 1) if params.scheme in ("dirichlet", "quantity") else 1)
    if len(rows) < needed:
        fix = "lower partition.clients or partition.min_size, or raise partition.max_images"
        raise ParameterError(f"{len(rows)} images cannot give every client its minimum", "partition", fix)
    present, dense = np.unique(labels[rows], return_inverse=True)
    return rows, SCHEMES[params.scheme](dense, len(present), params, seeds.generator(seed, "partition", params.scheme))


def _subset(labels: Int64, usable: NDArray[np.bool_], classes: int, params: PartitionParams, seed: int) -> Int64:
    """Choose ``max_images`` usable rows with every class in proportion (largest remainder), in row order."""
    rows, most = np.flatnonzero(usable), params.max_images
    if most is None or most >= len(rows):
        return rows
    exact = np.bincount(labels[rows], minlength=classes) * most / len(rows)
    ties = seeds.generator(seed, "partition", "remainders")
    quota = largest_remainder(exact[None], np.array([most]), ties)[0]
    shuffled = seeds.generator(seed, "partition", "subset").permutation(len(labels))
    shuffled = shuffled[usable[shuffled]]
    return np.sort(np.concatenate([shuffled[labels[shuffled] == label][:n] for label, n in enumerate(quota)]))


def dirichlet(labels: Int64, classes: int, params: PartitionParams, rng: np.random.Generator) -> Int64:
    """Split each class by Dirichlet(alpha) shares; clients that reached N / clients get no more of later classes.

    The self-balancing, and drawing again until every client has ``min_size`` images, follow NIID-Bench (Li et al.,
    ICDE 2022).
    """
    by_class = [np.flatnonzero(labels == label) for label in range(classes)]

    def draw() -> Int64:
        client_of = np.empty(len(labels), np.int64)
        sizes = np.zeros(params.drawn_clients, np.int64)
        for members in by_class:
            shares = rng.dirichlet(np.full(params.drawn_clients, params.alpha))
            shares = shares * (sizes * params.drawn_clients < len(labels))
            if shares.sum() == 0:  # so small an alpha that all of the class fell to clients that are full
                shares = (sizes == sizes.min()).astype(float)
            # The shares can sum to a hair less than 1: the last image must not go to a client that has no share.
            cuts = np.floor(np.cumsum(shares / shares.sum()) * len(members) + 1e-9).astype(np.int64)[:-1]
            owners = np.searchsorted(cuts, np.arange(len(members)), side="right")
            client_of[rng.permutation(members)] = owners
            sizes += np.bincount(owners, minlength=params.drawn_clients)
        return client_of

    return _until_large_enough(draw, params)


def labels_each(labels: Int64, classes: int, params: PartitionParams, rng: np.random.Generator) -> Int64:
    """Give each client ``labels_per_client`` classes and split each class evenly among its owners.

    Client i has class i mod C and others at random, as in NIID-Bench; where clients are fewer than classes, the
    classes that would have no owner are dealt out first, so that no image is lost.
    """
    k, clients = params.labels_per_client, params.drawn_clients
    if k > classes or k * clients < classes:
        fix = f"choose labels_per_client between {-(-classes // clients)} and {classes}"
        raise ParameterError(f"{k} of {classes} classes for {clients} clients", "partition.labels_per_client", fix)
    owned = np.zeros((clients, classes), bool)
    owned[np.arange(clients), np.arange(clients) % classes] = True
    for client, label in enumerate(rng.permutation(np.arange(clients, classes))):
        owned[client % clients, label] = True
    for client in range(clients):
        others = np.flatnonzero(~owned[client])
        owned[client, rng.choice(others, k - int(owned[client].sum()), replace=False)] = True
    client_of = np.empty(len(labels), np.int64)
    for label in range(classes):
        owners = np.flatnonzero(owned[:, label])
        members = rng.permutation(np.flatnonzero(labels == label))
        for owner, part in zip(owners, np.array_split(members, len(owners)), strict=True):
            client_of[part] = owner
    return client_of


def quantity(labels: Int64, classes: int, params: PartitionParams, rng: np.random.Generator) -> Int64:
    """Deal shuffled images out in Dirichlet(alpha) shares: sizes differ, label shares hardly do."""

    def draw() -> Int64:
        shares = rng.dirichlet(np.full(params.drawn_clients, params.alpha))
        cuts = np.floor(np.cumsum(shares) * len(labels) + 1e-9).astype(np.int64)[:-1]
        return _deal(np.searchsorted(cuts, np.arange(len(labels)), side="right"), rng)

    return _until_large_enough(draw, params)


def iid(labels: Int64, classes: int, params: PartitionParams, rng: np.random.Generator) -> Int64:
    """Deal shuffled images out evenly; sizes differ by one at most."""
    return _deal(np.arange(len(labels)) * params.drawn_clients // len(labels), rng)


def _deal(owners: Int64, rng: np.random.Generator) -> Int64:
    client_of = np.empty_like(owners)
    client_of[rng.permutation(len(owners))] = owners
    return client_of


def _until_large_enough(draw: Callable[[], Int64], params: PartitionParams) -> Int64:
    smallest = 0
    for _ in range(_REDRAWS):
        client_of = draw()
        smallest = int(np.bincount(client_of, minlength=params.drawn_clients).min())
        if smallest >= params.min_size:
            return client_of
    what = f"in {_REDRAWS} draws some client always got fewer than {params.min_size} images (last: {smallest})"
    raise ParameterError(what, "partition.min_size", "lower it, raise partition.alpha, or use fewer clients")


Scheme = Callable[[Int64, int, PartitionParams, np.random.Generator], Int64]
SCHEMES: dict[str, Scheme] = {"dirichlet": dirichlet, "labels": labels_each, "quantity": quantity, "iid": iid}
