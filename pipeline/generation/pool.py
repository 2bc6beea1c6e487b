"""The pool: finished synthetic images, each paid for once, in one SQLite file that survives kills.

One process writes at a time (a lock file, which the system releases when its holder dies); any number read. A batch is
one transaction. Images are keyed by recipe, lane, class name and index, never by client or experiment, so another
partition, a longer fill or a second experiment renders only what no earlier one did.
"""

import fcntl
import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from pipeline import progress
from pipeline.errors import PoolError
from pipeline.generation.plan import Want
from pipeline.generation.recipe import ImageSpec, Recipe

_SCHEMA = """
create table if not exists recipes (digest text primary key, recipe text not null);
create table if not exists images (
    recipe text not null, lane text not null, class_name text not null, "index" integer not null,
    retry integer not null, seed integer not null, guidance real not null,
    prompt text not null, negative_prompt text not null, image blob not null);
create unique index if not exists image on images (recipe, lane, class_name, "index");
create table if not exists rates (recipe text primary key, images_per_second real not null);
"""
_FIND = 'recipe = ? and lane = ? and class_name = ? and "index" < ?'


@dataclass(frozen=True, slots=True)
class Finished:
    """One image: its spec and its encoded bytes."""

    spec: ImageSpec
    image: bytes


class Pool:
    """An open pool; a context manager that closes it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._usable():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, timeout=60, isolation_level=None)
            try:
                self._db.execute("pragma journal_mode = wal")
                self._db.execute("pragma synchronous = normal")
                self._db.executescript(_SCHEMA)
            except sqlite3.Error:
                self._db.close()
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._db.close()

    @contextmanager
    def _usable(self) -> Iterator[None]:
        """Turn what SQLite complains of into a PoolError that names the file."""
        try:
            yield
        except (sqlite3.IntegrityError, sqlite3.ProgrammingError):
            raise  # these are our mistakes
        except (OSError, sqlite3.Error) as error:
            fix = "set GEN_FEDSD_CACHE to a folder on a local disk that you may write to, or move the file away"
            raise PoolError(f"cannot use the pool ({error})", self.path, fix) from None

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the right to write while the block runs; wait, and say so, while another run holds it."""
        with self.path.with_suffix(".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                progress.say(f"waiting for another run that is writing the pool {self.path}")
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def missing(self, recipe: Recipe, wants: Iterator[Want]) -> Iterator[ImageSpec]:
        """Yield the spec of every wanted image that the pool does not hold, in the order of ``wants``."""
        for want in wants:
            key = (recipe.digest, want.lane, want.class_name, want.count)
            with self._usable():
                held = {row[0] for row in self._db.execute(f'select "index" from images where {_FIND}', key)}
            for index in range(want.count):
                if index not in held:
                    yield recipe.spec(want.lane, want.class_name, index)

    def held(self, recipe: Recipe, want: Want) -> int:
        """Return how many of the wanted images the pool holds."""
        key = (recipe.digest, want.lane, want.class_name, want.count)
        with self._usable():
            count: int = self._db.execute(f"select count(*) from images where {_FIND}", key).fetchone()[0]
        return count

    def put(self, recipe: Recipe, images: Sequence[Finished]) -> None:
        """Store images in one transaction; an image that is already there is replaced."""
        rows = [
            (recipe.digest, s.lane, s.class_name, s.index, s.retry, s.seed, s.guidance, s.prompt, s.negative_prompt)
            for s in (finished.spec for finished in images)
        ]
        described = json.dumps(recipe.as_dict(), sort_keys=True)
        with self._usable(), self._transaction():
            self._db.execute("insert or ignore into recipes values (?, ?)", (recipe.digest, described))
            self._db.executemany(
                "insert or replace into images values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [(*row, finished.image) for row, finished in zip(rows, images, strict=True)],
            )

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("begin immediate")
        with self._db:
            yield

    def fetch(self, recipe: Recipe, want: Want) -> Iterator[Finished]:
        """Yield the wanted images by index; raise PoolError if one is not there."""
        columns = 'lane, class_name, "index", prompt, negative_prompt, guidance, seed, retry, image'
        key = (recipe.digest, want.lane, want.class_name, want.count)
        query = f'select {columns} from images where {_FIND} order by "index"'
        expected = 0
        with self._usable():
            for *spec, image in self._db.execute(query, key):
                if spec[2] != expected:
                    break
                expected += 1
                yield Finished(ImageSpec(*spec), image)
        if expected != want.count:
            what = f"image {expected} of {want.class_name!r} in lane {want.lane} is not in the pool"
            raise PoolError(what, self.path, "run: dvc repro generate")

    def record_rate(self, recipe: Recipe, images_per_second: float) -> None:
        """Remember how fast a recipe was rendered last."""
        self._db.execute("insert or replace into rates values (?, ?)", (recipe.digest, images_per_second))

    def rate(self, recipe: Recipe) -> float | None:
        """Return the images per second that a recipe was rendered at last, or None."""
        row = self._db.execute("select images_per_second from rates where recipe = ?", (recipe.digest,)).fetchone()
        return None if row is None else float(row[0])
