"""The pool: finished synthetic images, each paid for once, in one SQLite file that survives kills.

One process writes at a time (a lock file, which the system releases when its holder dies); any number read. A batch is
one transaction. Images are keyed by recipe, lane, class name and index, never by client or experiment, so another
partition, higher deficits or a second experiment render only what no earlier run did.
"""

import itertools
import json
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from types import TracebackType
from typing import Self

from pipeline import atomic, progress
from pipeline.artifacts import spec
from pipeline.artifacts.gate import Score
from pipeline.artifacts.spec import ImageSpec
from pipeline.errors import PoolError
from pipeline.generation.plan import Wanted
from pipeline.generation.pool import schema
from pipeline.generation.pool.schema import COLUMNS, SPEC
from pipeline.generation.recipe import Recipe

_MARKS = ", ".join("?" * len(COLUMNS.split(", ")))
INSERT = f"into images ({COLUMNS}) values ({_MARKS})"
_FORGET = f"delete from scores where ({schema.KEY}) = (?, ?, ?, ?)"
_PATIENCE = 60  # seconds to wait for another process
_FIX = "set GEN_FEDSD_CACHE to a folder on a local disk that you may write to, or move the file away"
_values = attrgetter(*spec.NAMES)


@dataclass(frozen=True, slots=True)
class StoredImage:
    """One image: its spec, its encoded bytes, and remarks on its quality (see ``Picture``)."""

    spec: ImageSpec
    image: bytes
    flags: str = ""
    score: Score | None = None
    """What a judge gave it, where it comes with a score; the pool keeps scores apart, by judge."""


class Pool:
    """An open pool; a context manager that closes it. Its methods may be called from several threads."""

    def __init__(self, path: Path) -> None:
        self.path, self._lock = path, threading.RLock()
        with self.errors():
            path.parent.mkdir(parents=True, exist_ok=True)
            self.db = sqlite3.connect(path, timeout=_PATIENCE, isolation_level=None, check_same_thread=False)
            try:
                self._prepare()
            except (sqlite3.Error, PoolError):
                self.db.close()
                raise

    def _prepare(self) -> None:
        """Check the file, or make it a pool if it is empty; two processes may do this at the same time."""
        self.db.execute("pragma trusted_schema = off")
        there = self.db.execute("select count(*) from sqlite_master").fetchone()[0]
        if there:
            schema.check(self.db, self.path, "move the file away, or set GEN_FEDSD_CACHE to another folder")
        _patiently(lambda: self.db.execute("pragma journal_mode = wal"))
        self.db.execute("pragma synchronous = normal")
        if not there:
            self.db.executescript(f"begin exclusive; {schema.SCHEMA} commit;")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.db.close()

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Turn the errors of SQLite and of the system into a PoolError that names the file."""
        try:
            yield
        except (sqlite3.IntegrityError, sqlite3.ProgrammingError):
            raise  # these are bugs of ours
        except (OSError, sqlite3.Error) as error:
            raise PoolError(f"cannot use the pool ({error})", self.path, _FIX) from None

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the lock for writing while the block runs; wait, and say so, while another run holds it."""
        said = f"waiting for another run that is writing the pool {self.path}"
        with ExitStack() as held:
            with self.errors():  # the block's own errors are not the pool's
                held.enter_context(atomic.locked(self.path.with_suffix(".lock"), lambda: progress.say(said)))
            yield

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Make all changes of the block or none."""
        with self._lock, self.errors():
            self.db.execute("begin immediate")
            with self.db:
                yield

    def missing(self, recipe: Recipe, wanted: Iterable[Wanted]) -> Iterator[ImageSpec]:
        """Yield the spec of every wanted image that the pool does not hold, in the order of ``wanted``."""
        for one, held in self.held(recipe, wanted):
            for index, there in zip(one.indices, held, strict=True):
                if not there:
                    yield recipe.spec(one.lane, one.class_name, index)

    def lacks(self, recipe: Recipe, wanted: Iterable[Wanted]) -> int:
        """Return how many of the wanted images the pool does not hold."""
        return sum(held.count(0) for _, held in self.held(recipe, wanted))

    def held(self, recipe: Recipe, wanted: Iterable[Wanted]) -> Iterator[tuple[Wanted, bytearray]]:
        """Yield each wanted set with a byte for each of its indices, in order: 1 if the pool holds the image.

        Sets of one lane that follow each other are looked up in one query; they are of different classes.
        """
        query = 'select class_name, "index" from images where recipe = ? and lane = ?'
        for lane, group in itertools.groupby(wanted, lambda one: one.lane):
            sets = [(one, bytearray(len(one.indices))) for one in group]
            found = {one.class_name: (_positions(one.indices), flags) for one, flags in sets}
            with self.errors():
                for name, index in self.db.execute(query, (recipe.digest, lane)):
                    if name in found:
                        positions, flags = found[name]
                        if index in positions:
                            flags[positions[index]] = 1
            yield from sets

    def put(self, recipe: Recipe, images: Sequence[StoredImage]) -> None:
        """Store images in one transaction; an image that is already there is replaced, and its scores are deleted."""
        described, now = json.dumps(recipe.as_dict(), sort_keys=True), int(time.time())
        rows = [(recipe.digest, *_values(one.spec), one.flags, now, one.image) for one in images]
        named = [(recipe.digest, one.spec.lane, one.spec.class_name, one.spec.index) for one in images]
        with self.transaction():
            if schema.has_scores(self.db):
                self.db.executemany(_FORGET, named)
            self.db.execute("insert or ignore into recipes values (?, ?)", (recipe.digest, described))
            self.db.executemany(f"insert or replace {INSERT}", rows)

    def fetch(self, recipe: Recipe, wanted: Wanted) -> Iterator[StoredImage]:
        """Yield the wanted images by index; raise PoolError if one is not there."""
        query = f"""
            select {SPEC}, image, flags from images
            where recipe = ? and lane = ? and class_name = ? and "index" between ? and ? order by "index"
        """
        awaited = iter(wanted.indices)
        expected = next(awaited, None)
        if expected is None:
            return
        key = (recipe.digest, wanted.lane, wanted.class_name, expected, wanted.indices[-1])
        with self.errors():
            for *values, image, flags in self.db.execute(query, key):
                found = ImageSpec(*values)
                if expected is None or found.index > expected:
                    break
                if found.index == expected:
                    yield StoredImage(found, image, flags)
                    expected = next(awaited, None)
        if expected is not None:
            what = f"image {expected} of {wanted.class_name!r} in lane {wanted.lane} is not in the pool"
            raise PoolError(what, self.path, "run: dvc repro generate")

    def bytes_per_image(self, recipe: Recipe) -> float | None:
        """Return the mean size of up to a thousand of the recipe's images, or None if there is none."""
        query = "select avg(length(image)) from (select image from images where recipe = ? limit 1000)"
        with self.errors():
            mean = self.db.execute(query, (recipe.digest,)).fetchone()[0]
        return None if mean is None else float(mean)


def _positions(indices: Sequence[int]) -> Mapping[int, int] | range:
    """Return what maps an index to its position; a range from 0 maps each index to itself."""
    if isinstance(indices, range) and indices.start == 0 and indices.step == 1:
        return indices
    return {index: position for position, index in enumerate(indices)}


def _patiently(act: Callable[[], object]) -> None:
    """Try again while another process holds the file; SQLite does not wait when the kind of the journal changes."""
    start = time.monotonic()
    while True:
        try:
            act()
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() - start > _PATIENCE:
                raise
            time.sleep(0.02)
        else:
            return
