"""What a pool holds, and how to delete images that nobody needs any more."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import ParameterError
from pipeline.generation import recipe as recipes
from pipeline.generation.pool import scores
from pipeline.generation.pool.store import Pool
from pipeline.generation.recipe import Recipe

_DAY = 86_400


@dataclass(frozen=True)
class Stats:
    """How much a pool holds."""

    path: Path
    disk_bytes: int
    """Of the pool's file and those that SQLite keeps beside it."""
    images: int
    image_bytes: int
    recipes: int
    lanes: int
    """Pairs of a recipe and a lane."""
    redrawn: int
    """Images that were drawn more than once, since an earlier draw was unusable."""
    faint: int
    scores: int = 0
    """What judges gave images."""
    judges: int = 0


@dataclass(frozen=True)
class Entry:
    """One recipe of a pool."""

    digest: str
    recipe: Recipe | None
    """None if this version of gen-fedsd cannot read it."""
    images: int
    image_bytes: int
    first: int | None
    """When the first of its images was stored, in seconds since 1970; None if it has no image."""
    last: int | None


@dataclass(frozen=True)
class Collected:
    """Images that were deleted, or in a dry run would be."""

    images: int
    image_bytes: int


def stats(pool: Pool) -> Stats:
    """Return how much the pool holds."""
    query = """
        select count(*), coalesce(sum(length(image)), 0), (select count(*) from recipes),
        (select count(*) from (select distinct recipe, lane from images)),
        coalesce(sum(retry > 0), 0), coalesce(sum(flags = 'faint'), 0) from images
    """
    with pool.errors():
        counts = (*pool.db.execute(query).fetchone(), *scores.count(pool))
    on_disk = sum(file.stat().st_size for file in pool.path.parent.glob(f"{pool.path.name}*"))
    return Stats(pool.path, on_disk, *counts)


def list_recipes(pool: Pool) -> list[Entry]:
    """Return the pool's recipes, the latest rendered last."""
    query = """
        select digest, recipes.recipe, count(image), coalesce(sum(length(image)), 0), min(added), max(added)
        from recipes left join images on images.recipe = digest group by digest order by max(added), digest
    """
    with pool.errors():
        return [Entry(str(digest), _recipe(digest, text), *rest) for digest, text, *rest in pool.db.execute(query)]


def _recipe(digest: object, text: object) -> Recipe | None:
    """Return a recipe of this pool, which an older or a newer version may have written."""
    try:
        found = recipes.read(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return found if found is not None and found.digest == digest else None


def gc(pool: Pool, chosen: Sequence[str], older_than: float | None, dry_run: bool) -> Collected:
    """Delete the images of these recipes, of this age in days or more, or (both given) those that are both.

    Raises ParameterError if nothing is chosen, or the beginning of a digest is that of no recipe or of several.
    """
    if not chosen and older_than is None:
        raise ParameterError("nothing chosen", "gen-fedsd pool gc", "give --recipe, --older-than, or both")
    where, values = where_recipe(pool, chosen)
    if older_than is not None:
        where, values = f"{where} and added <= ?", [*values, time.time() - older_than * _DAY]
    measure = f"select count(*), coalesce(sum(length(image)), 0) from images where {where}"
    if dry_run:
        with pool.errors():
            return Collected(*pool.db.execute(measure, values).fetchone())
    with pool.writing(), pool.errors():
        collected = Collected(*pool.db.execute(measure, values).fetchone())
        with pool.transaction():
            pool.db.execute(f"delete from images where {where}", values)
            pool.db.execute("delete from recipes where digest not in (select distinct recipe from images)")
            scores.forget(pool.db)
        pool.db.execute("vacuum")  # gives the space back to the disk
        pool.db.execute("pragma wal_checkpoint(truncate)")
    return collected


def where_recipe(pool: Pool, chosen: Sequence[str]) -> tuple[str, list[str | float]]:
    """Return the SQL condition on ``recipe`` that beginnings of digests stand for (none given: all), and its values.

    Raises ParameterError if a beginning is that of no recipe or of several.
    """
    if not chosen:
        return "1", []
    with pool.errors():
        known = [row[0] for row in pool.db.execute("select digest from recipes order by digest")]
    found: list[str | float] = []
    for beginning in chosen:
        matches = [digest for digest in known if beginning and digest.startswith(beginning)]
        if len(matches) != 1:
            what = f"{len(matches) or 'no'} recipes in the pool start with this"
            raise ParameterError(what, f"--recipe {beginning}", "gen-fedsd pool list shows those that it has")
        found += matches
    return f"recipe in ({', '.join('?' * len(found))})", found
