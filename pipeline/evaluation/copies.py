"""Copies: images that are there twice, and images that stand so close to a training image that they may repeat it.

An image is paired with one other image at most, so that a thousand equal images are 999 pairs and not half a million.
Where nothing is found, the other one is -1. Pairs are compared in blocks: 50,000 images against 50,000 take 100 MB at
most, beside a copy of the features.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.errors import DataError
from pipeline.evaluation.pixels import Identities, Pixels

Rows = NDArray[np.int64]
Hashes = NDArray[np.uint64]
Distances = NDArray[np.float64]
BITS = 64
"""Of a perceptual hash."""
_NONE = -1
_CELLS = 1 << 22
"""Pairs that are compared at a time."""


def exact_within(names: Identities) -> Rows:
    """Return for each image (N,) the first image of the same set that has the same pixels and comes earlier, or -1."""
    _, first, places = np.unique(names, return_index=True, return_inverse=True)
    earlier = first[places].astype(np.int64)
    return np.where(earlier < np.arange(len(names)), earlier, _NONE)


def exact_of(names: Identities, others: Identities) -> Rows:
    """Return for each image (N,) the first of other images (M,) that has the same pixels, or -1."""
    known, first = np.unique(others, return_index=True)
    places = np.minimum(np.searchsorted(known, names), max(len(known) - 1, 0))
    if not len(known):
        return np.full(len(names), _NONE)
    return np.where(known[places] == names, first[places], _NONE)


def perceptual(images: Pixels) -> Hashes:
    """Return the perceptual hash (N,) of images (N, H, W, 3): 64 signs of the lowest frequencies (``imagehash.phash``).

    Small shifts of brightness, contrast, scale and compression change few bits; colour counts for nothing.
    """
    import imagehash

    signs = [imagehash.phash(Image.fromarray(one)).hash.ravel() for one in images]
    bits = np.packbits(np.array(signs, bool).reshape(-1, BITS), axis=1)
    return bits.view(">u8").ravel().astype(np.uint64)


def near_within(hashes: Hashes, most: int) -> Rows:
    """Return for each image (N,) the nearest earlier one that differs in at most so many bits of the hash, or -1."""
    found = np.full(len(hashes), _NONE)
    for some in _blocks(len(hashes), len(hashes)):
        bits = _bits(hashes[some], hashes[: some.stop])
        later = np.arange(some.stop) >= np.arange(some.start, some.stop)[:, None]
        bits[later] = BITS + 1
        fewest, rows = _fewest(bits)
        found[some] = np.where(fewest <= most, rows, _NONE)
    return found


def near_of(hashes: Hashes, others: Hashes, most: int) -> Rows:
    """Return for each image (N,) the nearest of others (M,) that differs in at most so many bits, or -1."""
    bits, rows = closest(hashes, others)
    return np.where(bits <= most, rows, _NONE)


def closest(hashes: Hashes, others: Hashes) -> tuple[NDArray[np.uint8], Rows]:
    """Return for each image (N,) in how many bits it differs from the nearest of others (M,), and which that is.

    Raises DataError if there are no others.
    """
    _some(others)
    bits, rows = np.empty(len(hashes), np.uint8), np.empty(len(hashes), np.int64)
    for some in _blocks(len(hashes), len(others)):
        bits[some], rows[some] = _fewest(_bits(hashes[some], others))
    return bits, rows


def most_bits(held_out: NDArray[np.uint8], share: float) -> int:
    """Return in how many bits images may differ to count as near: -1 if the hash cannot tell such images apart.

    ``held_out`` (M,) is ``closest`` of held-out real images and the training images: at most this share of them counts
    as near, by chance. Among the demo's grey clothes 2.6 % have the very hash of another; of CIFAR-10's images 0.8 %
    come within 8 bits. Raises DataError without any.
    """
    _some(held_out)
    shares = np.cumsum(np.bincount(held_out, minlength=BITS + 1)) / len(held_out)
    return int(np.searchsorted(shares, share, side="right")) - 1


def nearest(
    features: NDArray[np.floating], others: NDArray[np.floating], advance: Callable[[int], None] | None = None
) -> tuple[Distances, Rows]:
    """Return for each image (N, D) the Euclidean distance (N,) to the nearest of others (M, D), and which it is (N,).

    ``advance`` is told of each block how many images it had. Raises DataError if there are no others.
    """
    _some(others)
    origin = others.mean(axis=0)  # float32 keeps more digits of differences around it
    far = (others - origin).astype(np.float32)
    squares = (far**2).sum(axis=1)
    distances, rows = np.empty(len(features)), np.empty(len(features), np.int64)
    for some in _blocks(len(features), len(others)):
        own = (features[some] - origin).astype(np.float32)
        rows[some] = np.argmin(squares - 2 * (own @ far.T), axis=1)
        apart = features[some].astype(np.float64) - others[rows[some]]
        distances[some] = np.linalg.norm(apart, axis=1)
        if advance is not None:
            advance(len(own))
    return distances, rows


@dataclass(frozen=True)
class Threshold:
    """What counts as too close to a training image."""

    distance: float
    """Images that are nearer than this are flagged."""
    level: float
    """The share of held-out real images that lie nearer: if more images do, they repeat training images."""


def threshold(held_out: Distances, share: float) -> Threshold:
    """Return the distance below which only this share of held-out real images lie from their nearest training image.

    ``held_out`` (M,) are such distances. The k-th smallest is taken, k = share * (M + 1) rounded down: a new image of
    the same kind is flagged with a probability of k / (M + 1), the level, at most ``share``. With too few held-out
    images for that, k is 1, and the level is larger. Raises DataError without any.
    """
    _some(held_out)
    k = max(1, math.floor(share * (len(held_out) + 1) + 1e-9))
    k = min(k, len(held_out))
    return Threshold(float(np.partition(held_out, k - 1)[k - 1]), k / (len(held_out) + 1))


def _some(others: NDArray[np.generic]) -> None:
    if not len(others):
        raise DataError("no images to compare with", "copies", "use more real images")


def _bits(rows: Hashes, columns: Hashes) -> NDArray[np.uint8]:
    """Return in how many bits hashes (N,) differ from others (M,): (N, M)."""
    found: NDArray[np.uint8] = np.bitwise_count(rows[:, None] ^ columns)
    return found


def _fewest(bits: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], Rows]:
    """Return for each row (N, M) the fewest bits, and the first column that has them."""
    first = bits.argmin(axis=1)
    return np.take_along_axis(bits, first[:, None], axis=1)[:, 0], first


def _blocks(rows: int, columns: int) -> Iterator[slice]:
    step = max(1, _CELLS // max(columns, 1))
    for start in range(0, rows, step):
        yield slice(start, min(start + step, rows))
