"""Partition schemes: the usual non-IID ways to give every real training image to a client."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from pipeline import seeds
from pipeline.artifacts import pairs
from pipeline.clients.owners import Owners
from pipeline.clients.rounding import largest_remainder
from pipeline.data.domains import Domains
from pipeline.errors import ParameterError
from pipeline.params import PartitionParams

Int64 = NDArray[np.int64]
_REDRAWS = 1_000


def partition(
    labels: Int64,
    classes: int,
    params: PartitionParams,
    root: int,
    owners: Owners | None = None,
    domains: Domains | None = None,
) -> tuple[Int64, Int64]:
    """Return rows (M,) and the client of each (M,); a pure function of its arguments.

    ``root`` is the root seed, which counts where the partition has no seed of its own. ``owners`` say who holds which
    image where the scheme does not draw it. All rows that have an owner are used, or ``max_images`` of them with the
    classes in proportion. Schemes do not see classes without an image, so they give them to no client. Raises
    ParameterError if the scheme cannot be met, such as fewer images than ``clients * min_size``.

    With ``domains`` (of the rows) every client has images of one: clients are split over the domains (see
    ``clients_of``), and the scheme is carried out inside each, by a random stream of its own.
    """
    seed = params.seed_under(root)
    usable = np.ones(len(labels), bool) if owners is None else owners.clients >= 0
    if domains is None:
        rows = _subset(labels, usable, classes, params, seed)
    else:
        strata = pairs.of(labels, domains.numbers, classes)
        rows = _subset(strata, usable, pairs.number(classes, len(domains.names)), params, seed)
    if owners is not None:
        return rows, owners.clients[rows]
    if domains is None:
        return rows, _drawn(labels[rows], params, seeds.generator(seed, "partition", params.scheme))
    return rows, _in_domains(labels[rows], domains.at(rows), params, seed)


def _drawn(labels: Int64, params: PartitionParams, rng: np.random.Generator) -> Int64:
    needed = params.drawn_clients * (max(params.min_size, 1) if params.scheme in ("dirichlet", "quantity") else 1)
    if len(labels) < needed:
        fix = "lower partition.clients or partition.min_size, or raise partition.max_images"
        raise ParameterError(f"{len(labels)} images cannot give every client its minimum", "partition", fix)
    present, dense = np.unique(labels, return_inverse=True)
    return SCHEMES[params.scheme](dense, len(present), params, rng)


def _in_domains(labels: Int64, domains: Domains, params: PartitionParams, seed: int) -> Int64:
    """Return the client of each row, where each domain's rows are dealt out to the clients of the domain."""
    client_of, first = np.empty(len(labels), np.int64), 0
    for domain, clients in enumerate(clients_of(domains, params.drawn_clients)):
        name, here = domains.names[domain], np.flatnonzero(domains.numbers == domain)
        if not clients:
            continue
        rng = seeds.generator(seed, "partition", params.scheme, "domain", name)
        try:
            dealt = _drawn(labels[here], params.model_copy(update={"clients": clients}), rng)
        except ParameterError as error:
            raise ParameterError(error.what, f"{error.where}, domain {name!r}", error.fix) from None
        client_of[here] = first + dealt
        first += clients
    return client_of


def clients_of(domains: Domains, clients: int) -> list[int]:
    """Return how many of the clients each domain has, in order of the domains: client 0 is of the first one.

    Clients are split evenly over the domains that have images, as in Flick (NeurIPS 2025); where that leaves a rest,
    the domains with the most images get one client more. Raises ParameterError if there are fewer clients than domains.
    """
    sizes = np.bincount(domains.numbers, minlength=len(domains.names))
    there = int((sizes > 0).sum())
    if clients < there:
        fix = f"raise partition.clients to at least {there}, or set data.group_column to null"
        raise ParameterError(f"{clients} clients for {there} domains", "partition.clients", fix)
    each, left = divmod(clients, there)
    shares = np.where(sizes > 0, each, 0)
    shares[np.argsort(-sizes, kind="stable")[:left]] += 1
    found: list[int] = shares.tolist()
    return found


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
