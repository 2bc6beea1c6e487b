"""Images decoded once into byte arrays on disk, memory-mapped by every run that needs them.

An array has a name, the digest of what it was made from, and is whole or absent. Beside it are the labels and the
digest of the content. While an object of an array lives, its file is locked, so that ``cache gc`` leaves it there.
"""

import contextlib
import fcntl
import hashlib
import io
import json
import os
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline import atomic, progress
from pipeline.artifacts.manifest import Manifest, Shard
from pipeline.data import npy, resize
from pipeline.errors import ArtifactError

Pixels = NDArray[np.uint8]
Labels = NDArray[np.int64]
_VERSION = 4
_PARTS = (".labels.npy", ".sha256", ".pictures.npy", ".json", ".histograms.npy")
"""Endings of the files beside an array; the last one is of earlier versions."""


@dataclass(frozen=True)
class Stored:
    """Images and labels on disk; cheap to send to a process."""

    path: Path
    labels: Labels
    """(N,)."""
    content: str
    """SHA-256 of pixels and labels, whatever they were made from."""

    @property
    def pixels(self) -> Pixels:
        """The images (N, size, size, 3), read from disk as they are touched."""
        # Copy on write: nothing writes, but torch warns of arrays that it could not write to.
        array: Pixels = npy.mapped(self.path, "c")
        return array

    @property
    def image_size(self) -> int:
        """Pixels a side."""
        return int(self.pixels.shape[1])

    def __len__(self) -> int:
        return len(self.labels)


def name_of(kind: str, made_from: Sequence[object]) -> str:
    """Return the name of an array; ``made_from`` holds all that decides it and can be written as JSON."""
    return hashlib.sha256(json.dumps([_VERSION, kind, *made_from]).encode()).hexdigest()[:24]


def synthetic_name(manifest: Manifest, image_size: int) -> str:
    """Return the name of the array that ``synthetic`` returns."""
    return name_of("synthetic", [image_size, *(file.sha256 for s in manifest.shards for file, _ in manifest.files(s))])


def gated_name(manifest: Manifest, image_size: int) -> str:
    """Return the name of the array that ``gated`` returns."""
    return name_of("synthetic-gated", [image_size, *(file.sha256 for s in manifest.shards for file in s.files)])


def synthetic(folder: Path, manifest: Manifest, image_size: int) -> Stored:
    """Return all clients' synthetic images in order of client; check each shard against the manifest first.

    They are the first ones of each class, whatever a gate says of them: with and without a gate the array has the same
    content, so the same runs.
    """
    return _synthetic(folder, manifest, synthetic_name(manifest, image_size), image_size, manifest.ungated_pictures)


def gated(folder: Path, manifest: Manifest, image_size: int) -> Stored:
    """Return all clients' images that passed the gate, as ``synthetic`` does."""
    return _synthetic(folder, manifest, gated_name(manifest, image_size), image_size, manifest.pictures)


def _synthetic(
    folder: Path,
    manifest: Manifest,
    name: str,
    image_size: int,
    pictures: Callable[[Shard], Iterator[tuple[int, Image.Image]]],
) -> Stored:
    for shard in manifest.shards:
        manifest.check(shard)
    labels = np.empty(manifest.rows, np.int64)

    def chunks() -> Iterable[Pixels]:
        row = 0
        for shard in manifest.shards:
            for label, picture in pictures(shard):
                labels[row] = label
                row += 1
                yield np.asarray(resize.fit(picture, image_size))[None]
        if row != manifest.rows:
            raise ArtifactError(f"{row} images, not {manifest.rows}", manifest.folder, "run: dvc repro -f generate")

    return store(folder, name, labels, image_size, chunks)


def store(folder: Path, name: str, labels: Labels, size: int, chunks: Callable[[], Iterable[Pixels]]) -> Stored:
    """Return the array of this name; make it from ``chunks``, which fill up ``labels``, if it is not there.

    ``chunks`` yields images (n, size, size, 3), as many as ``labels`` (N,) in all. Raises ArtifactError if the cache
    folder cannot be written, or is full.
    """
    found = find(folder, name, size)
    if found is not None and len(found) == len(labels):
        return found
    made = make(folder, name, (len(labels), size), chunks(), lambda: labels)
    assert len(made) == len(labels)
    return made


def make(
    folder: Path, name: str, shape: tuple[int, int], chunks: Iterable[Pixels], labels: Callable[[], Labels]
) -> Stored:
    """Write an array of at most ``shape[0]`` images of ``shape[1]`` pixels a side, and return it.

    ``chunks`` yields images (n, size, size, 3); ``labels`` is called after the last one and returns a label for each.
    Raises ArtifactError if the cache folder cannot be written, or is full.
    """
    place, (most, size) = folder / f"{name}.npy", shape
    content, rows = hashlib.sha256(), 0
    with atomic.replacing(place) as temporary:
        # Written and not mapped: on a full disk a mapped file ends the process by a signal, without a word.
        with temporary.open("wb") as file:
            _write_header(file, (most, size, size, 3))
            for chunk in chunks:
                assert chunk.dtype == np.uint8
                assert chunk.shape[1:] == (size, size, 3)
                whole = np.ascontiguousarray(chunk)
                file.write(whole.data)
                content.update(whole.data)
                rows += len(chunk)
            file.seek(0)
            _write_header(file, (rows, size, size, 3))  # of equal length: NumPy leaves room for more digits
        kept = labels()
        assert len(kept) == rows
        content.update(kept.tobytes())
        for ending in _PARTS:  # what is beside an older array of this name
            place.with_suffix(ending).unlink(missing_ok=True)
        with atomic.replacing(place.with_suffix(".labels.npy")) as beside, beside.open("wb") as file:
            np.save(file, kept)
        atomic.write_text(place.with_suffix(".sha256"), content.hexdigest() + "\n")
        made = Stored(place, kept, content.hexdigest())
        _lock(made, temporary)
    return made


def find(folder: Path, name: str, size: int) -> Stored | None:
    """Return the array of this name, or None if it is absent or damaged; damage is reported."""
    place = folder / f"{name}.npy"
    try:
        content = place.with_suffix(".sha256").read_text(encoding="ascii").strip()
        stored = Stored(place, npy.whole(place.with_suffix(".labels.npy")), content)
        _lock(stored, place)
        if stored.pixels.shape == (len(stored), size, size, 3) and len(content) == 64:
            return stored
    except OSError:
        return None
    except (ValueError, EOFError):
        pass
    progress.say(f"{place} is damaged; its images are decoded again")
    return None


def _write_header(file: io.BufferedWriter, shape: tuple[int, ...]) -> None:
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})


def _lock(stored: Stored, place: Path) -> None:
    """Share a lock on the array's file, the future one too, as long as the object lives.

    Raises FileNotFoundError if the file was deleted before it was locked.
    """
    descriptor = os.open(place, os.O_RDONLY | os.O_CLOEXEC)
    weakref.finalize(stored, os.close, descriptor)
    with contextlib.suppress(OSError):  # some network file systems have no locks
        fcntl.flock(descriptor, fcntl.LOCK_SH)
    if not os.path.samestat(os.fstat(descriptor), place.stat()):
        raise FileNotFoundError(place)


def listed(folder: Path) -> list[Path]:
    """Return the arrays of a folder, in order of name."""
    return sorted(path for path in folder.glob("*.npy") if "." not in path.stem)


def files(place: Path) -> Iterator[Path]:
    """Yield the files of an array that are there: its own, and those beside it."""
    for path in (place, *map(place.with_suffix, _PARTS)):
        if path.is_file():
            yield path


def delete(place: Path, dry_run: bool = False) -> bool:
    """Delete an array and what is beside it, unless a process uses it or it is gone; return whether that was so.

    With ``dry_run`` nothing is deleted. Raises OSError if a file cannot be deleted.
    """
    try:
        descriptor = os.open(place, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        for path in [] if dry_run else files(place):
            path.unlink()
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True
