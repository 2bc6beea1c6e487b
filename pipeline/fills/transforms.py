"""Shifted and slightly rotated copies of the client's own images, as many as the synthetic fill gives it.

They go to the classes that the client has (see ``common.own``): a class that it has no image of cannot be filled this
way, and that is the point of the comparison. No copy is mirrored, since a mirrored digit or letter is another one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline import seeds
from pipeline.artifacts.holdings import Holdings
from pipeline.artifacts.partition import Source
from pipeline.data import arrays
from pipeline.data.arrays import Stored
from pipeline.fills.common import given as common
from pipeline.fills.common import own
from pipeline.fills.common.given import REAL, Given

_NAME = "transforms"
_VERSION = 2
"""Of what follows from equal arguments."""
_DEGREES = 10.0
"""The largest rotation."""
_AT_ONCE = 1 << 22
"""Pixels that are transformed together."""
Int64 = NDArray[np.int64]
Pixels = NDArray[np.uint8]


def make(given: Given) -> Holdings:
    """Return every client's real images and transformed copies of them."""
    own.report_unfilled(given, _NAME)
    more, real = own.extra(given), given.source(REAL)
    chosen = np.concatenate(own.rows(given, more))
    sources = {REAL: real, _NAME: Source(_array(real.array, chosen, given.params.seed), len(chosen))}
    rows = {REAL: given.rows(REAL), _NAME: common.stretches(more.sum(axis=1))}
    return given.holdings(_NAME, sources, rows, given.counts + more)


def images(given: Given) -> Stored:
    """Return the transformed images in order of client, from the cache or computed."""
    chosen = np.concatenate(own.rows(given, own.extra(given)))
    return transformed(given.workspace.arrays, given.decoded.train, chosen, given.params.seed)


def transformed(folder: Path, real: Stored, chosen: Int64, seed: int) -> Stored:
    """Return a transformed copy of each chosen row (M,) of the real images; equal arguments give equal bytes."""
    pixels, size = real.pixels, real.image_size
    most = size // 8
    rng = seeds.generator(seed, _NAME)
    degrees, shifts = rng.uniform(-_DEGREES, _DEGREES, len(chosen)), rng.integers(-most, most + 1, (len(chosen), 2))
    step = max(1, _AT_ONCE // size**2)

    def chunks() -> Iterable[Pixels]:
        for start in range(0, len(chosen), step):
            part = slice(start, start + step)
            yield moved(pixels[chosen[part]], degrees[part], shifts[part])

    return arrays.store(folder, _array(real.path.stem, chosen, seed), real.labels[chosen], size, chunks)


def moved(images: Pixels, degrees: NDArray[np.float64], shifts: Int64) -> Pixels:
    """Rotate images (n, size, size, 3) by so many degrees (n,), and shift them by so many pixels (n, 2), (x, y) each.

    The image is reflected at its border, as ``train.augment`` does: a black border would tell copies from originals.
    """
    import torch
    import torch.nn.functional as F

    size = images.shape[1]
    angle = np.radians(degrees)
    # The grid's pixels are 2 / (size - 1) apart.
    cos, sin, by = np.cos(angle), np.sin(angle), -2 * shifts / max(size - 1, 1)
    rows = [np.stack([cos, -sin, by[:, 0]], axis=1), np.stack([sin, cos, by[:, 1]], axis=1)]
    theta = torch.from_numpy(np.stack(rows, axis=1)).float()
    planes = torch.from_numpy(images).permute(0, 3, 1, 2).float()
    grid = F.affine_grid(theta, list(planes.shape), align_corners=True)
    found = F.grid_sample(planes, grid, "bilinear", padding_mode="reflection", align_corners=True)
    made: Pixels = found.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()
    return made


def _array(real: str, chosen: Int64, seed: int) -> str:
    originals = hashlib.sha256(np.ascontiguousarray(chosen).data).hexdigest()
    return arrays.name_of(_NAME, [_VERSION, real, originals, seed])
