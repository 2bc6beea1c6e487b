"""Carry images from one pool to another: write a file with them, and import such a file or another pool."""

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pipeline import atomic, progress
from pipeline.artifacts.spec import ImageSpec
from pipeline.errors import ParameterError, PoolError
from pipeline.generation import recipe as recipes
from pipeline.generation.pool.maintenance import where_recipe
from pipeline.generation.pool.store import COLUMNS, INSERT, SPEC, Pool
from pipeline.generation.recipe import Recipe

_CHUNK = 1_000
_FIX = "the file is damaged or was edited; ask for it again"


@dataclass(frozen=True)
class Exported:
    """What a file got."""

    path: Path
    images: int
    file_bytes: int


@dataclass(frozen=True)
class Imported:
    """How many images a pool got from another, and how many of the other's it had already."""

    new: int
    known: int


def export_pool(pool: Pool, out: Path, chosen: Sequence[str]) -> Exported:
    """Write the images of these recipes (none given: all) as a pool of their own, whole or not at all."""
    where, values = where_recipe(pool, chosen)
    here, there = pool.path.resolve(), out.resolve()
    if there.name.startswith(here.name) and there.parent == here.parent:
        raise ParameterError("that is the pool itself", out, "choose another file")
    if out.is_dir():
        raise ParameterError("that is a folder", out, "give the name of the file to write")
    with pool.errors(), atomic.replacing(out) as temporary, _blame(out):
        with Pool(temporary) as other:
            other.db.execute("pragma journal_mode = delete")  # one file, nothing beside it
        count = _copy(pool, temporary, where, values)
        for ending in ("-wal", "-shm"):  # of a pool that was killed here; SQLite would read it as part of the new file
            out.with_name(f"{out.name}{ending}").unlink(missing_ok=True)
    return Exported(out, count, out.stat().st_size)


def _copy(pool: Pool, path: Path, where: str, values: list[str | float]) -> int:
    """Copy images into an empty pool, in order of their names, and return how many."""
    pool.db.execute("attach database ? as other", (str(path),))
    try:
        pool.db.execute("begin")
        with pool.db:
            of_recipes = where.replace("recipe", "digest", 1)
            pool.db.execute(f"insert into other.recipes select * from main.recipes where {of_recipes}", values)
            return pool.db.execute(
                f"insert into other.images ({COLUMNS}) select {COLUMNS} from main.images where {where} "
                'order by recipe, lane, class_name, "index"',
                values,
            ).rowcount
    finally:
        pool.db.execute("detach database other")


@contextmanager
def _blame(out: Path) -> Iterator[None]:
    """Make errors of writing an export name its place, not the pool that is read."""
    fix = "choose a file in a folder on a local disk that has free space and that you may write to"
    try:
        yield
    except PoolError as error:  # of the new pool, under its temporary name
        raise PoolError(error.what, out, fix) from None
    except sqlite3.OperationalError as error:
        if error.sqlite_errorname not in ("SQLITE_FULL", "SQLITE_IOERR_WRITE"):
            raise
        raise PoolError(f"cannot write the export ({error})", out, fix) from None


def import_pool(pool: Pool, path: Path) -> Imported:
    """Copy the images of another pool that this one lacks; where both have one, this pool's stays.

    Raises PoolError, and imports nothing, if the file is not a pool or an image in it is not what its recipe says.
    """
    if not path.is_file():
        raise PoolError("no such file", path, "give a pool, or what gen-fedsd pool export wrote")
    with Pool(path, read_only=True) as other, pool.writing():
        _check(other)
        before, total = _count(pool), _count(other)
        with other.errors(), pool.transaction(), progress.bar("import", total, "images") as advance:
            rows = other.db.execute("select digest, recipe from recipes").fetchall()
            pool.db.executemany("insert or ignore into recipes values (?, ?)", rows)
            cursor = other.db.execute(f"select {COLUMNS} from images")
            while chunk := cursor.fetchmany(_CHUNK):
                pool.db.executemany(f"insert or ignore {INSERT}", chunk)
                advance(len(chunk))
        new = _count(pool) - before
    return Imported(new, total - new)


def _check(pool: Pool) -> None:
    """Raise PoolError unless every recipe has its digest and every image the seed and prompt that its name gives."""
    with pool.errors():
        known = {digest: _recipe(pool, digest, text) for digest, text in pool.db.execute("select * from recipes")}
        for digest, *values in pool.db.execute(f"select recipe, {SPEC} from images"):
            spec = ImageSpec(*values)
            if (
                spec.index < 0
                or digest not in known
                or known[digest].spec(spec.lane, spec.class_name, spec.index, spec.retry) != spec
            ):
                what = f"image {spec.index} of {spec.class_name!r} in lane {spec.lane} is not of recipe {digest}"
                raise PoolError(what, pool.path, _FIX)


def _recipe(pool: Pool, digest: str, text: str) -> Recipe:
    """Return a recipe of a pool; raise PoolError unless it is one, and has this digest."""
    try:
        recipe = Recipe.from_dict(json.loads(text))
        recipe.spec("0", "", 0)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, ZeroDivisionError):
        raise PoolError(f"recipe {digest} is of another version of gen-fedsd", pool.path, _FIX) from None
    if recipes.digest(json.loads(text)) != digest:
        raise PoolError(f"recipe {digest} does not have this digest", pool.path, _FIX)
    return recipe


def _count(pool: Pool) -> int:
    with pool.errors():
        count: int = pool.db.execute("select count(*) from images").fetchone()[0]
    return count
