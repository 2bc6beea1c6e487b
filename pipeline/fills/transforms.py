"""Shifted and slightly rotated copies of the client's own images, as many as the synthetic fill gives it.

They go to the classes that the client has (see ``common.own``): a class that it has no image of cannot be filled this
way, and that is the point of the comparison. Copies are mirrored only if the parameters ask for it, since a mirrored
digit or letter is another one. They can ask for MixUp too (Zhang et al., "mixup: Beyond empirical risk minimization",
ICLR 2018), here of copies of one class, so that labels stay whole.
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
from pipeline.params import FillParams

_NAME = "transforms"
_VERSION = 3
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
    chosen, partner = _copies(given, more)
    name = _array(real.array, chosen, given.params.seed, given.params.fill, partner)
    sources = {REAL: real, _NAME: Source(name, len(chosen))}
    rows = {REAL: given.rows(REAL), _NAME: common.stretches(more.sum(axis=1))}
    return given.holdings(_NAME, sources, rows, given.counts + given.by_class(more))


def images(given: Given) -> Stored:
    """Return the transformed images in order of client, from the cache or computed."""
    chosen, partner = _copies(given, own.extra(given))
    params = given.params
    return transformed(given.workspace.arrays, given.decoded.train, chosen, params.seed, params.fill, partner)


def _copies(given: Given, more: Int64) -> tuple[Int64, Int64 | None]:
    """Return the real image of each copy (M,), and the copy that MixUp blends it with, if it is asked for."""
    partner = partners(more, given.params.seed) if given.params.fill.mixup else None
    return np.concatenate(own.rows(given, more)), partner


def partners(more: Int64, seed: int) -> Int64:
    """Return for each copy the place (M,) of another one of the same client and class.

    ``more`` are the copies of each client and class, (clients, classes); they lie in order of client and class. An only
    copy is its own partner.
    """
    rng = seeds.generator(seed, _NAME, "partners")
    places, start = np.empty(int(more.sum()), np.int64), 0
    for count in more.ravel().tolist():
        turn = rng.permutation(count)
        places[start + turn] = start + np.roll(turn, 1)
        start += count
    return places


def transformed(
    folder: Path, real: Stored, chosen: Int64, seed: int, params: FillParams, partner: Int64 | None = None
) -> Stored:
    """Return a transformed copy of each chosen row (M,) of the real images; equal arguments give equal bytes.

    ``partner`` (M,) are the copies that MixUp blends them with, of equal labels; None: no MixUp.
    """
    pixels, size, count = real.pixels, real.image_size, len(chosen)
    most, step = size // 8, max(1, _AT_ONCE // real.image_size**2)
    rng = seeds.generator(seed, _NAME)
    degrees, shifts = rng.uniform(-_DEGREES, _DEGREES, count), rng.integers(-most, most + 1, (count, 2))
    mirrored = seeds.generator(seed, _NAME, "mirror").random(count) < 0.5 * params.mirror

    def copies(places: Int64 | slice) -> Pixels:
        originals = pixels[chosen[places]]
        turned = np.where(mirrored[places, None, None, None], originals[:, :, ::-1], originals)
        return moved(turned, degrees[places], shifts[places])

    def chunks() -> Iterable[Pixels]:
        shares = seeds.generator(seed, _NAME, "mixup").beta(params.mixup or 1, params.mixup or 1, count)
        for start in range(0, count, step):
            part = slice(start, start + step)
            made = copies(part)
            yield made if partner is None else blend(made, copies(partner[part]), shares[part])

    name = _array(real.path.stem, chosen, seed, params, partner)
    return arrays.store(folder, name, real.labels[chosen], size, chunks)


def blend(images: Pixels, others: Pixels, shares: NDArray[np.float64]) -> Pixels:
    """Return images (n, size, size, 3), each with its share (n,) of itself and the rest of the other."""
    weight = shares[:, None, None, None]
    mixed: Pixels = np.rint(weight * images + (1 - weight) * others).astype(np.uint8)
    return mixed


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


def _array(real: str, chosen: Int64, seed: int, params: FillParams, partner: Int64 | None) -> str:
    digests = [hashlib.sha256(rows.tobytes()).hexdigest() for rows in (chosen, partner) if rows is not None]
    return arrays.name_of(_NAME, [_VERSION, real, seed, params.mirror, params.mixup, *digests])
