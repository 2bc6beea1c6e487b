"""Images decoded once into byte arrays on disk, memory-mapped by every run that needs them.

They lie in the cache folder, keyed by a digest of what they were made from, and are whole or absent.
"""

import hashlib
import io
import json
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline import atomic, paths, progress
from pipeline.artifacts import shards
from pipeline.artifacts.manifest import Manifest
from pipeline.artifacts.partition import Partition
from pipeline.data.images import Images
from pipeline.errors import ArtifactError

_VERSION = 1
_CHUNK = 256


class Stored:
    """Images (N, size, size, 3) and labels (N,), read from disk as they are touched; cheap to send to a process."""

    def __init__(self, pixels: Path, labels: NDArray[np.int64]) -> None:
        self.path, self.labels = pixels, labels

    @property
    def pixels(self) -> NDArray[np.uint8]:
        # Copy on write: nothing writes, but torch warns of arrays that it could not write to.
        array: NDArray[np.uint8] = np.load(self.path, mmap_mode="c")
        return array

    def __len__(self) -> int:
        return len(self.labels)


def real(images: Images, partition: Partition) -> Stored:
    """Return the clients' real images in the order of the partition."""
    return _rows(images, partition.rows)


def test(images: Images) -> Stored:
    """Return a whole split in its own order."""
    return _rows(images, np.arange(len(images.labels)))


def synthetic(manifest: Manifest, image_size: int) -> Stored:
    """Return all shards' images in order of client; check each shard against the manifest first."""
    for shard in manifest.shards:
        shard.check(manifest.recipe)
    labels = np.empty(manifest.rows, np.int64)

    def chunks() -> Iterable[NDArray[np.uint8]]:
        row = 0
        for shard in manifest.shards:
            for label, image in shards.read_images(shard.paths):
                labels[row] = label
                row += 1
                picture = Image.open(io.BytesIO(image)).convert("RGB")
                if picture.size != (image_size, image_size):
                    picture = picture.resize((image_size, image_size), Image.Resampling.BICUBIC)
                yield np.asarray(picture)[None]
        if row != manifest.rows:
            raise ArtifactError(f"{row} images, not {manifest.rows}", paths.SHARDS, "run: dvc repro -f generate")

    key = ["synthetic", image_size, *(file.sha256 for shard in manifest.shards for file in shard.files)]
    return store(key, labels, image_size, chunks)


def store(
    key: list[object], labels: NDArray[np.int64], size: int, chunks: Callable[[], Iterable[NDArray[np.uint8]]]
) -> Stored:
    """Return the array that ``key`` names; make it from ``chunks``, which fill up ``labels``, if it is not there.

    ``chunks`` yields images (n, size, size, 3), as many as ``labels`` (N,) in all. Raise ArtifactError if the cache
    folder cannot be written, or has no room.
    """
    digest = hashlib.sha256(json.dumps([_VERSION, *key]).encode()).hexdigest()[:24]
    place = paths.cache() / "arrays" / f"{digest}.npy"
    beside, shape = place.with_suffix(".labels.npy"), (len(labels), size, size, 3)
    found = _found(place, beside, shape)
    if found is not None:
        return found
    with atomic.replacing(place) as temporary:
        # Written and not mapped: on a full disk a mapped file ends the process by a signal, without a word.
        with temporary.open("wb") as file:
            header = {"descr": "|u1", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
            row = 0
            for chunk in chunks():
                assert chunk.dtype == np.uint8
                assert chunk.shape[1:] == shape[1:]
                file.write(np.ascontiguousarray(chunk).data)
                row += len(chunk)
            assert row == len(labels)
        with atomic.replacing(beside) as temporary_labels, temporary_labels.open("wb") as file:
            np.save(file, labels)
    return Stored(place, labels)


def _found(place: Path, beside: Path, shape: tuple[int, ...]) -> Stored | None:
    """Return what is stored, or None if it is absent or damaged."""
    try:
        stored = Stored(place, np.load(beside))
        if stored.pixels.shape == shape and len(stored) == shape[0]:
            return stored
    except OSError:
        return None
    except (ValueError, EOFError):
        pass
    progress.say(f"{place} is damaged; its images are decoded anew")
    return None


def _rows(images: Images, rows: NDArray[np.int64]) -> Stored:
    def chunks() -> Iterable[NDArray[np.uint8]]:
        for start in range(0, len(rows), _CHUNK):
            yield images.pixels(rows[start : start + _CHUNK])

    chosen = hashlib.sha256(np.ascontiguousarray(rows).tobytes()).hexdigest()
    return store(
        ["real", images.fingerprint, images.image_size, chosen], images.labels[rows], images.image_size, chunks
    )
