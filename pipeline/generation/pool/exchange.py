"""Carry images from one pool to another: write a file with them, and import such a file or another pool."""

import itertools
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pipeline import atomic, progress
from pipeline.artifacts import spec
from pipeline.artifacts.encoded import Encoding
from pipeline.artifacts.manifest import Manifest
from pipeline.artifacts.spec import ImageSpec
from pipeline.errors import ParameterError, PoolError
from pipeline.generation import checks
from pipeline.generation import recipe as recipes
from pipeline.generation.pool import receive, schema, scores
from pipeline.generation.pool.maintenance import where_recipe
from pipeline.generation.pool.schema import COLUMNS
from pipeline.generation.pool.store import INSERT, Pool, StoredImage
from pipeline.generation.recipe import Recipe

_CHUNK, _CHUNK_BYTES = 1_000, 32_000_000
_TYPES = [str, *spec.TYPES.values(), str, int, bytes]  # of COLUMNS
_LAST_TIME = 2**33  # seconds since 1970: the year 2242
_SHOWN = 32  # characters of a digest


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
            if schema.has_scores(pool.db):
                schema.add_scores(other.db)
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
            count = pool.db.execute(
                f"insert into other.images ({COLUMNS}) select {COLUMNS} from main.images where {where} "
                f"order by {schema.KEY}",
                values,
            ).rowcount
            scores.export(pool.db, where, values)
            return count
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
        raise PoolError("no such file", path, "give a folder of shards, a pool, or what gen-fedsd pool export wrote")
    with _theirs(path), schema.copied(path, pool.path.parent) as copy:
        known = _recipes(copy)
        total = copy.execute("select count(*) from images").fetchone()[0]
        with pool.writing(), pool.transaction(), progress.bar("import", total, "images") as advance:
            before = _count(pool)
            _add_recipes(pool, known.values())
            for rows in _rows(copy, known, path):
                pool.db.executemany(f"insert or ignore {INSERT}", rows)
                advance(len(rows))
            with _theirs(path):
                scores.carry(copy, pool)
            new = _count(pool) - before
    return Imported(new, total - new)


def import_images(
    pool: Pool, recipe: Recipe, images: Iterable[Sequence[StoredImage]], judge: str | None = None
) -> Imported:
    """Store images of a recipe that this pool lacks; nothing is stored if ``images`` ends with an error.

    ``judge`` is the digest of who gave the scores that the images have.

    They are gathered in a file first, so that others can write the pool meanwhile. An image may come several times.
    """
    with pool.errors():  # the block's own errors are not the pool's
        folder = TemporaryDirectory(dir=pool.path.parent, prefix=".import-")
    with folder as place, Pool(Path(place) / "gathered.sqlite") as gathered:
        for some in images:
            gathered.put(recipe, some)
            if judge is not None:
                scores.put(gathered, recipe, judge, ((one.spec, one.score) for one in some if one.score is not None))
        with pool.writing():
            before, total = _count(pool), _count(gathered)
            with pool.transaction():
                _add_recipes(pool, [recipe])
                cursor = gathered.db.execute(f"select {COLUMNS} from images")
                while rows := cursor.fetchmany(_CHUNK):
                    pool.db.executemany(f"insert or ignore {INSERT}", rows)
                scores.carry(gathered.db, pool)
            new = _count(pool) - before
    return Imported(new, total - new)


def import_shards(pool: Pool, known: Manifest) -> Imported:
    """Store the images of all shards beside a manifest that this pool lacks.

    Raises ArtifactError, and imports nothing, if a shard is not what the manifest says or an image is not what the
    recipe gives.
    """
    recipe = checks.recipe_of(known)
    with progress.bar("import", known.images, "images") as advance:

        def read() -> Iterator[list[StoredImage]]:
            for images in receive.checked(known, recipe):
                yield images
                advance(len(images))

        return import_images(pool, recipe, read(), known.gate.judge if known.gate else None)


@contextmanager
def _theirs(path: Path) -> Iterator[None]:
    """Turn what is wrong with somebody's file into a PoolError that names it."""
    try:
        yield
    except ValueError as error:
        raise PoolError(str(error), path, "the file is damaged or was edited; ask for it again") from None
    except (OSError, sqlite3.Error) as error:
        raise PoolError(f"cannot use the pool ({error})", path, schema.FIX_THEIRS) from None


def _recipes(copy: sqlite3.Connection) -> dict[str, Recipe]:
    """Return the recipes of a pool by digest; raise ValueError unless each is one, and has this digest."""
    known = dict[str, Recipe]()
    for digest, text in copy.execute("select digest, recipe from recipes"):
        if type(digest) is not str or type(text) is not str:
            raise ValueError("a recipe that is no text")
        try:
            known[digest] = recipes.read(text)
        except ValueError:
            raise ValueError(f"recipe {digest[:_SHOWN]} is of another version of gen-fedsd, or damaged") from None
        if known[digest].digest != digest:
            raise ValueError(f"recipe {digest[:_SHOWN]} does not have this digest")
    return known


def _rows(copy: sqlite3.Connection, known: Mapping[str, Recipe], path: Path) -> Iterator[list[tuple[Any, ...]]]:
    """Yield a pool's images as rows, some at a time; raise PoolError unless each is what its recipe and name say."""
    chunk, size = list[tuple[Any, ...]](), 0
    with _theirs(path):
        for row in copy.execute(f"select {COLUMNS} from images not indexed"):
            digest, *values, flags, added, image = row
            if [type(value) for value in row] != _TYPES or not 0 <= added < _LAST_TIME:
                raise ValueError("the values of an image are not of the types of a pool")
            if digest not in known:
                raise ValueError(f"{checks.named(ImageSpec(*values))} is not of recipe {digest[:_SHOWN]}")
            checks.check_spec(known[digest], ImageSpec(*values), flags)
            chunk.append(row)
            size += len(image)
            if len(chunk) == _CHUNK or size > _CHUNK_BYTES:
                yield _decoded(chunk, known)
                chunk, size = [], 0
        yield _decoded(chunk, known)


def _decoded(chunk: list[tuple[Any, ...]], known: Mapping[str, Recipe]) -> list[tuple[Any, ...]]:
    """Return the rows; raise ValueError unless each image is of its recipe's format and size."""
    for digest, rows in itertools.groupby(chunk, lambda row: str(row[0])):
        recipe = known[digest]
        encoding = Encoding(recipe.image_format, recipe.image_size)
        checks.check_images(encoding, ((ImageSpec(*row[1:-3]), row[-1]) for row in rows))
    return chunk


def _add_recipes(pool: Pool, added: Iterable[Recipe]) -> None:
    described = [(recipe.digest, json.dumps(recipe.as_dict(), sort_keys=True)) for recipe in added]
    pool.db.executemany("insert or ignore into recipes values (?, ?)", described)


def _count(pool: Pool) -> int:
    with pool.errors():
        count: int = pool.db.execute("select count(*) from images").fetchone()[0]
    return count
