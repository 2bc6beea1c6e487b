"""Real images that no client holds, as many of each class as the synthetic fill gives the client: an oracle.

In a data set with domains, as many of each class and domain.

No federation has such images to give away. With them, what is left between this fill and `synthetic` is what a better
generator could win at most.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from pipeline import progress, seeds
from pipeline.artifacts import pairs
from pipeline.artifacts.holdings import Holdings
from pipeline.artifacts.partition import Source
from pipeline.data.unused import unused
from pipeline.errors import ParameterError
from pipeline.fills.common.given import REAL, UNUSED, Given

_NAME = "real"
Int64 = NDArray[np.int64]


def make(given: Given) -> Holdings:
    """Return every client's real images, and unused ones of the classes that it lacks.

    Raises ParameterError if the clients hold all images of the training split. What a class has too few images for is
    said.
    """
    rows, missing = unused(given.decoded, given.partition), given.deficits.missing
    if not len(rows):
        fix = "lower partition.max_images, or leave the fill real out"
        raise ParameterError("the clients hold all images of the training split", f"fill {_NAME}", fix)
    domains, classes = given.decoded.domains, len(given.partition.class_names)
    labels = pairs.of(given.decoded.train.labels[rows], None if domains is None else domains.numbers[rows], classes)
    for line in _short(np.bincount(labels, minlength=missing.shape[1]), missing, given.partition.pair_names):
        progress.say(f"fill {_NAME}: {line}")
    dealt, counts = deal(rows, labels, missing, given.params.seed)
    real = given.source(REAL)
    # The same array twice: what a client holds itself stays apart from what it is given.
    sources = {REAL: real, UNUSED: Source(real.array, real.images)}
    return given.holdings(_NAME, sources, {REAL: given.kept, UNUSED: dealt}, given.kept_counts + given.by_class(counts))


def deal(rows: Int64, labels: Int64, missing: Int64, seed: int) -> tuple[tuple[Int64, ...], Int64]:
    """Deal rows (N,) of these labels (N,) out to clients that miss so many of each label, (clients, classes).

    Return the rows of each client, and how many of each label that are. ``seed`` decides which. Every image of a label
    is dealt once before one is dealt again, and a client gets one twice only if it misses more than there are. Nobody
    gets a label that has none.
    """
    dealt: list[list[Int64]] = [[np.empty(0, np.int64)] for _ in missing]
    counts = np.zeros_like(missing)
    for label in np.flatnonzero(missing.any(axis=0)).tolist():
        own = rows[labels == label]
        if not len(own):
            continue
        mixed = seeds.generator(seed, "fills", _NAME, label).permutation(own)
        parts = np.split(np.resize(mixed, missing[:, label].sum()), np.cumsum(missing[:, label])[:-1])
        for client, part in enumerate(parts):
            dealt[client].append(part)
            counts[client, label] = len(part)
    return tuple(np.concatenate(parts) for parts in dealt), counts


def _short(there: Int64, missing: Int64, names: tuple[str, ...]) -> Iterator[str]:
    """Say of which classes there are too few images for every client to get its own."""
    wanted = missing.sum(axis=0)
    none, few = (wanted > 0) & (there == 0), (there > 0) & (there < wanted)
    if none.any():
        which = ", ".join(names[label] for label in np.flatnonzero(none)[:5])
        yield f"{none.sum()} classes have no unused image, so {wanted[none].sum()} gaps stay: {which}"
    if few.any():
        label = int(np.argmax(np.where(few, wanted / np.maximum(there, 1), 0)))
        yield (
            f"{few.sum()} classes have fewer unused images than clients lack together, so clients share some; "
            f"most of {names[label]}: {there[label]} images for {wanted[label]} gaps"
        )
