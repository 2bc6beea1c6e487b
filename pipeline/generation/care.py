"""Look after the pool: what is in it, what to throw away, and images carried to and from other pools."""

import json
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from pipeline import atomic, progress
from pipeline.errors import ParameterError, PoolError
from pipeline.generation import recipe as recipes
from pipeline.generation.pool import COLUMNS, Pool
from pipeline.generation.recipe import ImageSpec, Recipe

_DAY = 86_400
_CHUNK = 1_000
_NAME_LENGTH = 28


def stats(pool: Pool) -> str:
    """Return how much the pool holds."""
    with pool.usable():
        images, size = pool.db.execute("select count(*), coalesce(sum(length(image)), 0) from images").fetchone()
        lanes = pool.db.execute("select count(*) from (select distinct recipe, lane from images)").fetchone()[0]
        redrawn, faint = pool.db.execute(
            "select coalesce(sum(retry > 0), 0), coalesce(sum(flags = 'faint'), 0) from images"
        ).fetchone()
        kinds = pool.db.execute("select count(*) from recipes").fetchone()[0]
    on_disk = sum(file.stat().st_size for file in pool.path.parent.glob(f"{pool.path.name}*"))
    return (
        f"{pool.path}: {_megabytes(on_disk)} on disk\n"
        f"{images} images ({_megabytes(size)}) of {kinds} recipes in {lanes} lanes; "
        f"{redrawn} drawn more than once, {faint} faint"
    )


def listing(pool: Pool) -> str:
    """Return a table with a line for each recipe, the latest rendered last."""
    query = """
        select digest, recipes.recipe, count(image), coalesce(sum(length(image)), 0), min(added), max(added)
        from recipes left join images on images.recipe = digest group by digest order by max(added), digest
    """
    heads = ("recipe", "images", "size", "first", "last", "model", "settings")
    rows: list[tuple[str, ...]] = [heads]
    with pool.usable():
        for digest, described, images, size, first, last in pool.db.execute(query):
            known = json.loads(described)
            scales = " ".join(f"{scale:g}" for scale in known["guidance"])
            settings = f"{known['steps']} steps, guidance {scales}, {known['dtype']}, seed {known['seed']}"
            rows.append(
                (
                    digest,
                    str(images),
                    _megabytes(size),
                    _day(first),
                    _day(last),
                    known["model"][:_NAME_LENGTH],
                    settings,
                )
            )
    widths = [max(len(row[i]) for row in rows) for i in range(len(heads))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def collect(pool: Pool, chosen: Sequence[str], older_than: float | None, dry_run: bool) -> str:
    """Delete the images of these recipes, of this age in days or more, or (both given) those that are both."""
    if not chosen and older_than is None:
        raise ParameterError("nothing chosen", "gen-fedsd pool gc", "give --recipe, --older-than, or both")
    where, values = _among(_resolve(pool, chosen)) if chosen else ("1", [])
    if older_than is not None:
        where, values = f"{where} and added <= ?", [*values, time.time() - older_than * _DAY]
    measure = f"select count(*), coalesce(sum(length(image)), 0) from images where {where}"
    if dry_run:
        with pool.usable():
            count, size = pool.db.execute(measure, values).fetchone()
        return f"{count} images ({_megabytes(size)}) would be deleted"
    with pool.writing(), pool.usable():
        count, size = pool.db.execute(measure, values).fetchone()
        with pool.transaction():
            pool.db.execute(f"delete from images where {where}", values)
            empty = "not in (select distinct recipe from images)"
            pool.db.execute(f"delete from recipes where digest {empty}")
            pool.db.execute(f"delete from rates where recipe {empty}")
        pool.db.execute("vacuum")  # gives the space back to the disk
        pool.db.execute("pragma wal_checkpoint(truncate)")
    return f"{count} images ({_megabytes(size)}) deleted"


def export(pool: Pool, out: Path, chosen: Sequence[str]) -> str:
    """Write a pool of its own with these recipes' images (none given: all); it is there whole or not at all."""
    where, values = _among(_resolve(pool, chosen)) if chosen else ("1", [])
    beside = [out.with_name(f"{out.name}{ending}") for ending in ("-wal", "-shm")]
    if out.resolve().name.startswith(pool.path.resolve().name) and out.resolve().parent == pool.path.resolve().parent:
        raise ParameterError("that is the pool itself", out, "choose another file")
    if out.is_dir():
        raise ParameterError("that is a folder", out, "give the name of the file to write")
    with pool.usable(), atomic.replacing(out) as temporary, _placing(out):
        with Pool(temporary) as other:
            other.db.execute("pragma journal_mode = delete")  # one file, nothing beside it
        pool.db.execute("attach database ? as other", (str(temporary),))
        try:
            pool.db.execute("begin")
            with pool.db:
                of_recipes = where.replace("recipe", "digest", 1)
                pool.db.execute(f"insert into other.recipes select * from main.recipes where {of_recipes}", values)
                count = pool.db.execute(
                    f"insert into other.images ({COLUMNS}) select {COLUMNS} from main.images where {where} "
                    'order by recipe, lane, class_name, "index"',
                    values,
                ).rowcount
        finally:
            pool.db.execute("detach database other")
        for stale in beside:  # of a pool that was killed here; SQLite would read it as part of the new file
            stale.unlink(missing_ok=True)
    return f"{count} images in {out} ({_megabytes(out.stat().st_size)})"


@contextmanager
def _placing(out: Path) -> Iterator[None]:
    """Blame what SQLite cannot write on the place of an export, not on the pool that is read."""
    fix = "choose a file in a folder on a local disk that you may write to and that has room"
    try:
        yield
    except PoolError as error:  # of the new pool, under its temporary name
        raise PoolError(error.what, out, fix) from None
    except sqlite3.OperationalError as error:
        if error.sqlite_errorname not in ("SQLITE_FULL", "SQLITE_IOERR_WRITE"):
            raise
        raise PoolError(f"cannot write the export ({error})", out, fix) from None


def merge(pool: Pool, path: Path) -> str:
    """Take over the images of another pool and say how many."""
    new, old = take_over(pool, path)
    return f"{new} images imported from {path}; {old} were here already"


def take_over(pool: Pool, path: Path) -> tuple[int, int]:
    """Take over the images of another pool that this one lacks; where both have one, this pool's stays.

    Returns how many were new, and how many were here already. Raises PoolError, and takes over nothing, if the file is
    no pool or an image in it is not what its recipe says.
    """
    if not path.is_file():
        raise PoolError("no such file", path, "give a pool, or what gen-fedsd pool export wrote")
    with Pool(path, read_only=True) as other, pool.writing():
        _check(other)
        before = _count(pool)
        with other.usable(), pool.transaction(), progress.bar("import", _count(other), "images") as advance:
            rows = other.db.execute("select digest, recipe from recipes").fetchall()
            pool.db.executemany("insert or ignore into recipes values (?, ?)", rows)
            cursor = other.db.execute(f"select {COLUMNS} from images")
            marks = ", ".join("?" * len(COLUMNS.split(",")))
            while chunk := cursor.fetchmany(_CHUNK):
                pool.db.executemany(f"insert or ignore into images ({COLUMNS}) values ({marks})", chunk)
                advance(len(chunk))
        new, total = _count(pool) - before, _count(other)
    return new, total - new


def _check(pool: Pool) -> None:
    """Raise PoolError unless every recipe has its digest and every image the seed and prompt that its name gives."""
    fix = "the file is damaged or was edited; ask for it again"
    known: dict[str, Recipe] = {}
    with pool.usable():
        for digest, described in pool.db.execute("select digest, recipe from recipes"):
            try:
                known[digest] = Recipe.from_dict(json.loads(described))
                known[digest].spec("0", "", 0)
            except (ValueError, KeyError, TypeError, AttributeError, IndexError, ZeroDivisionError):
                raise PoolError(f"recipe {digest} is of another version of gen-fedsd", pool.path, fix) from None
            if recipes.digest(json.loads(described)) != digest:
                raise PoolError(f"recipe {digest} does not have this digest", pool.path, fix)
        columns = 'recipe, lane, class_name, "index", prompt, negative_prompt, guidance, seed, retry'
        for digest, *names in pool.db.execute(f"select {columns} from images"):
            spec = ImageSpec(*names)
            if (
                spec.index < 0
                or digest not in known
                or known[digest].spec(spec.lane, spec.class_name, spec.index, spec.retry) != spec
            ):
                what = f"image {spec.index} of {spec.class_name!r} in lane {spec.lane} is not of recipe {digest}"
                raise PoolError(what, pool.path, fix)


def _resolve(pool: Pool, chosen: Sequence[str]) -> list[str]:
    """Return the digests that these beginnings of digests name; raise ParameterError if one names none or several."""
    with pool.usable():
        known = [row[0] for row in pool.db.execute("select digest from recipes order by digest")]
    found = []
    for beginning in chosen:
        matches = [digest for digest in known if beginning and digest.startswith(beginning)]
        if len(matches) != 1:
            fix = "gen-fedsd pool list shows those that it has"
            raise ParameterError(f"{len(matches)} recipes of the pool begin so", f"--recipe {beginning}", fix)
        found += matches
    return found


def _among(digests: Sequence[str]) -> tuple[str, list[str | float]]:
    return f"recipe in ({', '.join('?' * len(digests))})", list(digests)


def _count(pool: Pool) -> int:
    with pool.usable():
        count: int = pool.db.execute("select count(*) from images").fetchone()[0]
    return count


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"


def _day(seconds: int | None) -> str:
    return "" if seconds is None else datetime.fromtimestamp(seconds, UTC).date().isoformat()
