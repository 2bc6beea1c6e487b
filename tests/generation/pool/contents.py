"""What is in a pool, put there and read by the tests of this folder."""

import sqlite3
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipeline.generation.pool import Pool, StoredImage
from pipeline.generation.pool.schema import COLUMNS
from pipeline.generation.recipe import Recipe
from pipeline.workspace import Workspace
from tests.synthetic import plain

DAY = 86_400


def put(
    pool: Pool,
    recipe: Recipe,
    lane: str,
    name: str,
    indexes: range,
    image: bytes | None = None,
    retry: int = 0,
    blue: int = 0,
) -> None:
    """Put images into a pool: pictures of one colour, which has this much blue in it, or such bytes and the index."""
    made = [
        StoredImage(recipe.spec(lane, name, i, retry), picture(i, blue) if image is None else image + str(i).encode())
        for i in indexes
    ]
    pool.put(recipe, made)


def picture(index: int, blue: int = 0) -> bytes:
    """Return the picture that ``put`` stores."""
    return plain((index % 256, index // 256 % 256, blue))


def rows(path: Path) -> dict[tuple[Any, ...], tuple[Any, ...]]:
    """Return every image of a pool by its name."""
    with closing(sqlite3.connect(path)) as database:
        return {row[:4]: row[4:] for row in database.execute(f"select {COLUMNS} from images")}


def everything(path: Path) -> list[list[Any]]:
    with closing(sqlite3.connect(path)) as database:
        tables = ("recipes", "images")
        return [database.execute(f"select * from {table} order by rowid").fetchall() for table in tables]


def change(path: Path, statement: str, *values: Any) -> None:
    with closing(sqlite3.connect(path)) as database, database:
        assert database.execute(statement, values).rowcount > 0


def age(pool: Pool, days: float, where: str) -> None:
    pool.db.execute(f"update images set added = ? where {where}", (int(time.time() - days * DAY),))


def held(pool: Pool, recipe: Recipe) -> list[tuple[str, str, int]]:
    """Return lane, class name and index of each image of a recipe."""
    query = 'select lane, class_name, "index" from images where recipe = ? order by lane, class_name, "index"'
    return pool.db.execute(query, (recipe.digest,)).fetchall()


def two_recipes(recipe: Recipe) -> tuple[Recipe, Recipe]:
    """Make a pool of two recipes, three images each: of 10 days, of 2 days and of now."""
    other = replace(recipe, steps=3)
    with Pool(Workspace().pool) as pool:
        for one in (recipe, other):
            put(pool, one, "0", "bag", range(3))
        age(pool, 10, '"index" = 0')
        age(pool, 2, '"index" = 1')
    return recipe, other
