"""Crops, mirror images and small rotations of the client's own images, as many of each class as it lacks.

A class that the client has no image of cannot be filled this way, and that is the point of the comparison.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pipeline import seeds
from pipeline.artifacts.holdings import Holdings
from pipeline.artifacts.partition import Source
from pipeline.data import arrays
from pipeline.data.arrays import Stored
from pipeline.fills.common import given as common
from pipeline.fills.common.given import REAL, Given

if TYPE_CHECKING:
    from torchvision.transforms import v2

_NAME = "transforms"
Int64 = NDArray[np.int64]


def make(given: Given) -> Holdings:
    """Return every client's real images and transformed copies of them."""
    possible, real = _possible(given), given.source(REAL)
    sources = {
        REAL: real,
        _NAME: Source(_array(real.array, given.partition.rows, possible, given.params.seed), int(possible.sum())),
    }
    rows = {REAL: given.rows(REAL), _NAME: common.stretches(possible.sum(axis=1))}
    return given.holdings(_NAME, sources, rows)


def images(given: Given) -> Stored:
    """Return the transformed images in order of client, from the cache or computed."""
    real, rows = given.decoded.train, given.partition.rows
    return transformed(given.workspace.arrays, real, rows, given.counts, _possible(given), given.params.seed)


def transformed(folder: Path, real: Stored, rows: Int64, counts: Int64, missing: Int64, seed: int) -> Stored:
    """Return transformed copies of the real images in order of client; equal arguments give equal bytes.

    ``rows`` (N,) are the clients' real images in order of client; ``counts`` and ``missing`` are the real and the
    lacking images, (clients, classes) each.
    """
    chosen = rows[originals(counts, missing, real.labels[rows])]
    pixels, size = real.pixels, real.image_size

    def chunks() -> Iterable[NDArray[np.uint8]]:
        import torch

        augment = augmentation(size)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seeds.derive(seed, _NAME))
            for row in chosen:
                image = torch.from_numpy(pixels[row].copy()).permute(2, 0, 1)
                yield augment(image).permute(1, 2, 0).numpy()[None]

    return arrays.store(folder, _array(real.path.stem, rows, missing, seed), real.labels[chosen], size, chunks)


def augmentation(size: int) -> v2.Transform:
    """Return random crops (an eighth of padding), mirrorings and rotations by up to 10 degrees."""
    from torchvision.transforms import v2

    crop = v2.RandomCrop(size, padding=size // 8)
    return v2.Compose([crop, v2.RandomHorizontalFlip(), v2.RandomRotation(10)])


def originals(counts: Int64, missing: Int64, labels: Int64) -> Int64:
    """Return, client by client and label by label, which real image each extra image is made from.

    ``counts`` and ``missing`` are (clients, classes); ``labels`` (N,) are those of the real images in order of client.
    A client's images of a label are used in turn.
    """
    starts = np.concatenate([[0], np.cumsum(counts.sum(axis=1))])
    chosen = [np.empty(0, np.int64)]
    for client, label in zip(*np.nonzero((missing > 0) & (counts > 0)), strict=True):
        own = starts[client] + np.flatnonzero(labels[starts[client] : starts[client + 1]] == label)
        chosen.append(np.resize(own, missing[client, label]))
    return np.concatenate(chosen)


def _possible(given: Given) -> Int64:
    """Return the missing images of the classes that a client has an image of, (clients, classes)."""
    return np.where(given.counts > 0, given.deficits.missing, 0)


def _array(real: str, rows: Int64, missing: Int64, seed: int) -> str:
    held = hashlib.sha256(np.ascontiguousarray(rows).data).hexdigest()
    return arrays.name_of(_NAME, [real, held, missing.tolist(), seed])
