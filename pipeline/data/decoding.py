"""Look at every picture of a split once: the good ones become an array, and what was found is kept beside it.

Kept are the rows of bad pictures and why they are bad, modes, sizes, and a digest of each good picture's pixels, so
that nothing is decoded again to tell them.
"""

import hashlib
import json
import os
from collections import Counter, deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline import atomic, progress
from pipeline.data import arrays, npy, resize
from pipeline.data.arrays import Pixels, Stored
from pipeline.data.images import Images
from pipeline.errors import DataError

_CHUNK = 1 << 20  # bytes of pixels that a thread decodes at a time
_AHEAD = 2  # chunks for each thread that are decoded or wait to be written


@dataclass(frozen=True)
class Findings:
    """What a look at every picture of a split found."""

    rows: int
    """Of the split, bad ones included."""
    bad: tuple[tuple[int, str], ...]
    """Row and reason, in order of row."""
    modes: dict[str, int]
    """Good pictures by the mode of their file, the most frequent first."""
    sizes: dict[str, int]
    """Good pictures by size, such as 640x480, the most frequent first."""
    animated: int
    """Good pictures with several frames, of which the first is used."""

    @property
    def kept(self) -> NDArray[np.int64]:
        """The rows of the good pictures, in order."""
        return np.delete(np.arange(self.rows), [row for row, _ in self.bad])


@dataclass(frozen=True)
class Split:
    """The good pictures of a split in its order, and what was found."""

    stored: Stored
    found: Findings
    digests: NDArray[np.uint64]
    """(N,) of each good picture's pixels: equal ones are equal pictures."""


def split(folder: Path, images: Images, title: str) -> Split:
    """Return the good pictures of a split and what was found, from the cache or decoded by as many threads as cores.

    ``images`` are all pictures of the split. Raises ArtifactError if the cache folder cannot be written, or is full.
    """
    labels = hashlib.sha256(images.labels.tobytes()).hexdigest()
    name = arrays.name_of("real", [images.pictures_digest, labels, images.image_size])
    return _kept(folder, name, images) or _made(folder, name, images, title)


def _kept(folder: Path, name: str, images: Images) -> Split | None:
    """Return what an earlier look has left, or None if something of it is absent or damaged."""
    stored = arrays.find(folder, name, images.image_size)
    if stored is None:
        return None
    try:
        found = json.loads(stored.path.with_suffix(".json").read_text(encoding="utf-8"))
        found["bad"] = tuple((int(row), str(why)) for row, why in found["bad"])
        kept = Split(stored, Findings(**found), npy.whole(stored.path.with_suffix(".pictures.npy")))
        if len(kept.digests) == len(stored) == len(kept.found.kept) and kept.found.rows == len(images):
            return kept
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, EOFError, IndexError):
        pass
    progress.say(f"{stored.path} is damaged; its images are decoded again")
    return None


def _made(folder: Path, name: str, images: Images, title: str) -> Split:
    seen = _Seen(len(images))
    shape, chunks = (len(images), images.image_size), _chunks(images, seen, title)
    stored = arrays.make(folder, name, shape, chunks, lambda: images.labels[seen.findings().kept])
    made = Split(stored, seen.findings(), np.frombuffer(b"".join(seen.digests), "<u8"))
    with atomic.replacing(stored.path.with_suffix(".pictures.npy")) as temporary, temporary.open("wb") as file:
        np.save(file, made.digests)
    atomic.write_text(stored.path.with_suffix(".json"), json.dumps(asdict(made.found)) + "\n")
    return made


class _Seen:
    """What has been found so far, over all chunks or in one of them."""

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self.bad = list[tuple[int, str]]()
        self.modes, self.sizes = Counter[str](), Counter[str]()
        self.animated = 0
        self.digests = list[bytes]()

    def add(self, part: "_Seen") -> None:
        self.bad += part.bad
        self.modes += part.modes
        self.sizes += part.sizes
        self.animated += part.animated
        self.digests += part.digests

    def findings(self) -> Findings:
        modes, sizes = (dict(sorted(c.items(), key=lambda one: (-one[1], one[0]))) for c in (self.modes, self.sizes))
        return Findings(self.rows, tuple(self.bad), modes, sizes, self.animated)


def _chunks(images: Images, seen: _Seen, title: str) -> Iterator[Pixels]:
    """Yield the good pictures in order, and add to ``seen`` what is found; memory does not grow with their number."""
    each = max(1, _CHUNK // (3 * images.image_size**2))
    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    waiting = deque[Future[tuple[Pixels, _Seen]]]()
    with progress.bar(title, seen.rows, "pictures") as advance, ThreadPoolExecutor(threads) as pool:

        def first() -> Pixels:
            pixels, part = waiting.popleft().result()
            seen.add(part)
            advance(part.rows)
            return pixels

        try:
            for start in range(0, seen.rows, each):
                waiting.append(pool.submit(_look, images, range(start, min(start + each, seen.rows))))
                if len(waiting) > _AHEAD * threads:
                    yield first()
            while waiting:
                yield first()
        finally:
            pool.shutdown(cancel_futures=True)


def _look(images: Images, rows: range) -> tuple[Pixels, _Seen]:
    """Return the good pictures of some rows, and what was found."""
    seen, size = _Seen(len(rows)), images.image_size
    pixels = np.empty((len(rows), size, size, 3), np.uint8)
    for row in rows:
        if images.labels[row] < 0:
            seen.bad.append((row, "no label"))
            continue
        try:
            picture = images.read(row)
        except DataError as error:
            seen.bad.append((row, error.what))
            continue
        place = pixels[len(seen.digests)]
        place[:] = np.asarray(resize.fit(picture.image, size))
        seen.digests.append(hashlib.blake2b(place.data, digest_size=8).digest())
        seen.modes[picture.mode] += 1
        seen.sizes["{}x{}".format(*picture.size)] += 1
        seen.animated += picture.animated
    return pixels[: len(seen.digests)], seen
