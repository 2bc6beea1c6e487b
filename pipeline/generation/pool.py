"""The pool: finished synthetic images, each paid for once, in one SQLite file that survives kills.

One process writes at a time (a lock file, which the system releases when its holder dies); any number read. A batch is
one transaction. Images are keyed by recipe, lane, class name and index, never by client or experiment, so another
partition, a longer fill or a second experiment renders only what no earlier one did.
"""

import fcntl
import itertools
import json
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

from pipeline import progress
from pipeline.errors import PoolError
from pipeline.generation.plan import Want
from pipeline.generation.recipe import ImageSpec, Recipe

_VERSION = 1
_SCHEMA = f"""
create table if not exists recipes (digest text primary key, recipe text not null);
create table if not exists images (
    recipe text not null, lane text not null, class_name text not null, "index" integer not null,
    retry integer not null, seed integer not null, guidance real not null,
    prompt text not null, negative_prompt text not null,
    flags text not null, added integer not null, image blob not null);
create unique index if not exists image on images (recipe, lane, class_name, "index");
create table if not exists rates (recipe text primary key, images_per_second real not null);
pragma user_version = {_VERSION};
"""
COLUMNS = 'recipe, lane, class_name, "index", retry, seed, guidance, prompt, negative_prompt, flags, added, image'
_PATIENCE = 60  # seconds to wait for another process
_FIX_MINE = "set GEN_FEDSD_CACHE to a folder on a local disk that you may write to, or move the file away"
_FIX_THEIRS = "ask for a file that gen-fedsd pool export wrote"
_FIND = 'recipe = ? and lane = ? and class_name = ? and "index" < ?'


@dataclass(frozen=True, slots=True)
class Finished:
    """One image: its spec, its encoded bytes, and remarks on its quality (see ``Picture``)."""

    spec: ImageSpec
    image: bytes
    flags: str = ""


class Pool:
    """An open pool; a context manager that closes it. Its methods may be called from several threads."""

    def __init__(self, path: Path, read_only: bool = False) -> None:
        self.path, self._lock = path, threading.RLock()
        self._fix = _FIX_THEIRS if read_only else _FIX_MINE  # only somebody else's pool is opened to be read
        with self.usable():
            if not read_only:
                path.parent.mkdir(parents=True, exist_ok=True)
            place = f"file:{quote(str(path))}?mode={'ro' if read_only else 'rwc'}"
            self.db = sqlite3.connect(place, uri=True, timeout=_PATIENCE, isolation_level=None, check_same_thread=False)
            try:
                self._prepare(read_only)
            except (sqlite3.Error, PoolError):
                self.db.close()
                raise

    def _prepare(self, read_only: bool) -> None:
        """Check the file, or make it a pool if it is empty; two processes may do so at a time."""
        query = "select (select user_version from pragma_user_version), (select group_concat(name) from sqlite_master)"
        version, found = self.db.execute(query).fetchone()
        if (found or read_only) and (version != _VERSION or not {"recipes", "images"} <= set((found or "").split(","))):
            what = f"this pool has format {version}, and this version of gen-fedsd reads format {_VERSION}"
            what = what if version != _VERSION else "this file is no pool"
            fix = _FIX_THEIRS if read_only else "move the file away, or set GEN_FEDSD_CACHE to another folder"
            raise PoolError(what, self.path, fix)
        if read_only:
            return
        _patiently(lambda: self.db.execute("pragma journal_mode = wal"))
        self.db.execute("pragma synchronous = normal")
        if not found:
            self.db.executescript(f"begin exclusive; {_SCHEMA} commit;")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.db.close()

    @contextmanager
    def usable(self) -> Iterator[None]:
        """Turn what SQLite complains of into a PoolError that names the file."""
        try:
            yield
        except (sqlite3.IntegrityError, sqlite3.ProgrammingError):
            raise  # these are our mistakes
        except (OSError, sqlite3.Error) as error:
            raise PoolError(f"cannot use the pool ({error})", self.path, self._fix) from None

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the right to write while the block runs; wait, and say so, while another run holds it."""
        with ExitStack() as held:
            with self.usable():  # the block's own errors are not the pool's
                lock = held.enter_context(self.path.with_suffix(".lock").open("w"))
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    progress.say(f"waiting for another run that is writing the pool {self.path}")
                    fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Make all changes of the block or none."""
        with self._lock, self.usable():
            self.db.execute("begin immediate")
            with self.db:
                yield

    def missing(self, recipe: Recipe, wants: Iterable[Want]) -> Iterator[ImageSpec]:
        """Yield the spec of every wanted image that the pool does not hold, in the order of ``wants``."""
        for want, held in self.held(recipe, wants):
            for index in range(want.count):
                if not held[index]:
                    yield recipe.spec(want.lane, want.class_name, index)

    def lacks(self, recipe: Recipe, wants: Iterable[Want]) -> int:
        """Return how many of the wanted images the pool does not hold."""
        return sum(held.count(0) for _, held in self.held(recipe, wants))

    def held(self, recipe: Recipe, wants: Iterable[Want]) -> Iterator[tuple[Want, bytearray]]:
        """Yield each want with a byte for each of its images: 1 if the pool holds it. One query for each lane."""
        query = 'select class_name, "index" from images where recipe = ? and lane = ?'
        for lane, group in itertools.groupby(wants, lambda want: want.lane):
            flags = {want.class_name: (want, bytearray(want.count)) for want in group}
            with self.usable():
                for name, index in self.db.execute(query, (recipe.digest, lane)):
                    found = flags.get(name)
                    if found is not None and index < len(found[1]):
                        found[1][index] = 1
            yield from flags.values()

    def put(self, recipe: Recipe, images: Sequence[Finished]) -> None:
        """Store images in one transaction; an image that is already there is replaced."""
        described, now = json.dumps(recipe.as_dict(), sort_keys=True), int(time.time())
        rows = []
        for finished in images:
            s = finished.spec
            key = (recipe.digest, s.lane, s.class_name, s.index)
            drawn_from = (s.retry, s.seed, s.guidance, s.prompt, s.negative_prompt)
            rows.append((*key, *drawn_from, finished.flags, now, finished.image))
        with self.transaction():
            self.db.execute("insert or ignore into recipes values (?, ?)", (recipe.digest, described))
            self.db.executemany("insert or replace into images values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)

    def fetch(self, recipe: Recipe, want: Want) -> Iterator[Finished]:
        """Yield the wanted images by index; raise PoolError if one is not there."""
        columns = 'lane, class_name, "index", prompt, negative_prompt, guidance, seed, retry, image, flags'
        key = (recipe.digest, want.lane, want.class_name, want.count)
        query = f'select {columns} from images where {_FIND} order by "index"'
        expected = 0
        with self.usable():
            for *spec, image, flags in self.db.execute(query, key):
                if spec[2] != expected:
                    break
                expected += 1
                yield Finished(ImageSpec(*spec), image, flags)
        if expected != want.count:
            what = f"image {expected} of {want.class_name!r} in lane {want.lane} is not in the pool"
            raise PoolError(what, self.path, "run: dvc repro generate")

    def record_rate(self, recipe: Recipe, images_per_second: float) -> None:
        """Remember how fast a recipe was rendered last."""
        with self.usable():
            self.db.execute("insert or replace into rates values (?, ?)", (recipe.digest, images_per_second))

    def rate(self, recipe: Recipe) -> float | None:
        """Return the images per second that a recipe was rendered at last, or None."""
        with self.usable():
            row = self.db.execute("select images_per_second from rates where recipe = ?", (recipe.digest,)).fetchone()
        return None if row is None else float(row[0])

    def bytes_per_image(self, recipe: Recipe) -> float | None:
        """Return the mean size of up to a thousand of the recipe's images, or None if there is none."""
        query = "select avg(length(image)) from (select image from images where recipe = ? limit 1000)"
        with self.usable():
            mean = self.db.execute(query, (recipe.digest,)).fetchone()[0]
        return None if mean is None else float(mean)


def _patiently(act: Callable[[], object]) -> None:
    """Try again while another process holds the file; SQLite does not wait by itself when a journal's kind changes."""
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
