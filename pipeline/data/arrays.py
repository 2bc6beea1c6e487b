"""Images decoded once into byte arrays on disk, memory-mapped by every run that needs them.

An array has a name, the digest of what it was made from, and is whole or absent. Beside it are the labels, the digest
of the content, and the histograms of its channels once somebody asked for them.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline import atomic, progress
from pipeline.artifacts.manifest import Manifest
from pipeline.artifacts.partition import Partition
from pipeline.data import histograms, npy, resize
from pipeline.data.images import Images
from pipeline.errors import ArtifactError

_VERSION = 3
_CHUNK = 256


@dataclass(frozen=True)
class Stored:
    """Images and labels on disk; cheap to send to a process."""

    path: Path
    labels: NDArray[np.int64]
    """(N,)."""
    content: str
    """SHA-256 of pixels and labels, whatever they were made from."""

    @property
    def pixels(self) -> NDArray[np.uint8]:
        """The images (N, size, size, 3), read from disk as they are touched."""
        # Copy on write: nothing writes, but torch warns of arrays that it could not write to.
        array: NDArray[np.uint8] = npy.mapped(self.path, "c")
        return array

    def __len__(self) -> int:
        return len(self.labels)

    def histograms(self) -> NDArray[np.int64]:
        """Return how often each channel has each level, (3, 256); counted once and kept beside the array."""
        place = self.path.with_suffix(".histograms.npy")
        try:
            found: NDArray[np.int64] = npy.whole(place)
            if found.shape == (3, 256) and found.sum() == self.pixels.size:
                return found
        except FileNotFoundError:
            pass
        except (OSError, ValueError, EOFError):
            progress.say(f"{place} is damaged; the histograms are counted again")
        counted = histograms.empty()
        histograms.add(counted, self.pixels)
        with atomic.replacing(place) as temporary, temporary.open("wb") as file:
            np.save(file, counted)
        return counted


def real_name(partition: Partition) -> str:
    """Return the name of the array of the clients' real images, in the order of the partition."""
    return _name(["real", partition.fingerprint, partition.image_size, _rows(partition.rows)])


def real(folder: Path, images: Images, partition: Partition) -> Stored:
    """Return the clients' real images in the order of the partition; ``images`` is the split that was partitioned."""
    return _decoded(folder, real_name(partition), images, partition.rows)


def test(folder: Path, images: Images) -> Stored:
    """Return a whole split in its own order."""
    rows = np.arange(len(images.labels))
    return _decoded(folder, _name(["real", images.fingerprint, images.image_size, _rows(rows)]), images, rows)


def synthetic_name(manifest: Manifest, image_size: int) -> str:
    """Return the name of the array of all shards' images."""
    return _name(["synthetic", image_size, *(file.sha256 for shard in manifest.shards for file in shard.files)])


def synthetic(folder: Path, manifest: Manifest, image_size: int) -> Stored:
    """Return all shards' images in order of client; check each shard against the manifest first."""
    for shard in manifest.shards:
        manifest.check(shard)
    labels = np.empty(manifest.rows, np.int64)

    def chunks() -> Iterable[NDArray[np.uint8]]:
        row = 0
        for shard in manifest.shards:
            for label, picture in manifest.pictures(shard):
                labels[row] = label
                row += 1
                yield np.asarray(resize.fit(picture, image_size))[None]
        if row != manifest.rows:
            raise ArtifactError(f"{row} images, not {manifest.rows}", manifest.folder, "run: dvc repro -f generate")

    return store(folder, synthetic_name(manifest, image_size), labels, image_size, chunks)


def derived_name(kind: str, made_from: Sequence[object]) -> str:
    """Return the name of an array that is computed from others; ``made_from`` holds all that decides it."""
    return _name([kind, *made_from])


def store(
    folder: Path,
    name: str,
    labels: NDArray[np.int64],
    size: int,
    chunks: Callable[[], Iterable[NDArray[np.uint8]]],
) -> Stored:
    """Return the array of this name; make it from ``chunks``, which fill up ``labels``, if it is not there.

    ``chunks`` yields images (n, size, size, 3), as many as ``labels`` (N,) in all. Raises ArtifactError if the cache
    folder cannot be written, or is full.
    """
    place, shape = folder / f"{name}.npy", (len(labels), size, size, 3)
    if (found := _found(place, shape)) is not None:
        return found
    content = hashlib.sha256()
    with atomic.replacing(place) as temporary:
        # Written and not mapped: on a full disk a mapped file ends the process by a signal, without a word.
        with temporary.open("wb") as file:
            header = {"descr": "|u1", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
            row = 0
            for chunk in chunks():
                assert chunk.dtype == np.uint8
                assert chunk.shape[1:] == shape[1:]
                whole = np.ascontiguousarray(chunk)
                file.write(whole.data)
                content.update(whole.data)
                row += len(chunk)
            assert row == len(labels)
        content.update(labels.tobytes())
        with atomic.replacing(place.with_suffix(".labels.npy")) as beside, beside.open("wb") as file:
            np.save(file, labels)
        atomic.write_text(place.with_suffix(".sha256"), content.hexdigest() + "\n")
        place.with_suffix(".histograms.npy").unlink(missing_ok=True)
    return Stored(place, labels, content.hexdigest())


def _found(place: Path, shape: tuple[int, ...]) -> Stored | None:
    """Return what is stored, or None if it is absent or damaged."""
    try:
        content = place.with_suffix(".sha256").read_text(encoding="ascii").strip()
        stored = Stored(place, npy.whole(place.with_suffix(".labels.npy")), content)
        if stored.pixels.shape == shape and len(stored) == shape[0] and len(content) == 64:
            return stored
    except OSError:
        return None
    except (ValueError, EOFError):
        pass
    progress.say(f"{place} is damaged; its images are decoded again")
    return None


def _decoded(folder: Path, name: str, images: Images, rows: NDArray[np.int64]) -> Stored:
    def chunks() -> Iterable[NDArray[np.uint8]]:
        for start in range(0, len(rows), _CHUNK):
            yield images.pixels(rows[start : start + _CHUNK])

    return store(folder, name, images.labels[rows], images.image_size, chunks)


def _rows(rows: NDArray[np.int64]) -> str:
    return hashlib.sha256(np.ascontiguousarray(rows).tobytes()).hexdigest()


def _name(key: Sequence[object]) -> str:
    return hashlib.sha256(json.dumps([_VERSION, *key]).encode()).hexdigest()[:24]
