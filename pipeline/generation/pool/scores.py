"""What judges gave the images of a pool: kept by image, judge and intended label, and gone with the image."""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence

from pipeline.artifacts.gate import LONGEST, Score
from pipeline.artifacts.spec import ImageSpec
from pipeline.generation.plan import Wanted
from pipeline.generation.pool import schema
from pipeline.generation.pool.schema import KEY, SCORES
from pipeline.generation.pool.store import Pool
from pipeline.generation.recipe import Recipe

_MARKS = ", ".join("?" * len(SCORES.split(", ")))
INSERT = f"into scores ({SCORES}) values ({_MARKS})"
_KEYS = len(KEY.split(", "))
_MOST_CLASSES = 2**31


def put(pool: Pool, recipe: Recipe, judge: str, scored: Iterable[tuple[ImageSpec, Score]]) -> None:
    """Store what a judge, known by its digest, gave images that the pool holds; in one transaction."""
    rows = [
        (recipe.digest, spec.lane, spec.class_name, spec.index, judge, score.intended, score.label, score.probability)
        for spec, score in scored
    ]
    if rows:
        with pool.transaction():
            schema.add_scores(pool.db)
            pool.db.executemany(f"insert or replace {INSERT}", rows)


def known(pool: Pool, recipe: Recipe, judge: str, wanted: Wanted) -> Iterator[tuple[int, Score]]:
    """Yield index and score of each image of this lane and class that the judge saw, in order of index.

    They are those of the intended label, whatever the indices that are wanted.
    """
    query = """
        select "index", label, probability from scores
        where recipe = ? and lane = ? and class_name = ? and judge = ? and intended = ? order by "index"
    """
    with pool.errors():
        if schema.has_scores(pool.db):
            key = (recipe.digest, wanted.lane, wanted.class_name, judge, wanted.label)
            for index, label, probability in pool.db.execute(query, key):
                yield index, Score(wanted.label, label, probability)


def count(pool: Pool) -> tuple[int, int]:
    """Return how many scores a pool has, and how many judges gave them."""
    with pool.errors():
        if not schema.has_scores(pool.db):
            return 0, 0
        scores, judges = pool.db.execute("select count(*), count(distinct judge) from scores").fetchone()
    return int(scores), int(judges)


def forget(db: sqlite3.Connection) -> None:
    """Delete the scores of images that are no longer there, as a part of the transaction that is going on."""
    if schema.has_scores(db):
        db.execute(f"delete from scores where ({KEY}) not in (select {KEY} from images)")


def export(db: sqlite3.Connection, where: str, values: Sequence[str | float]) -> None:
    """Copy scores into the attached database ``other``, which has their images; ``where`` is a condition on them."""
    if schema.has_scores(db):
        db.execute(f"insert into other.scores select {SCORES} from main.scores where {where} order by {KEY}", values)


def carry(theirs: sqlite3.Connection, pool: Pool) -> None:
    """Store the scores of another pool, as a part of the transaction that is going on; one that is there stays.

    Only those of images that have the same bytes here, since a score is of a picture. Raises ValueError for values that
    are no score.
    """
    if not schema.has_scores(theirs):
        return
    schema.add_scores(pool.db)
    columns = ", ".join(f"scores.{name}" for name in SCORES.split(", "))
    here = " and ".join(f"{name} = ?" for name in KEY.split(", "))
    same = f"exists (select 1 from images where {here} and image = ?)"
    statement = f"insert or ignore into scores ({SCORES}) select {_MARKS} where {same}"
    for *row, image in theirs.execute(f"select {columns}, image from scores join images using ({KEY})"):
        _check(row)
        pool.db.execute(statement, (*row, *row[:_KEYS], image))


def _check(row: Sequence[object]) -> None:
    """Raise ValueError unless a row that somebody else's file returned has the values of a score."""
    *_, judge, intended, label, probability = row
    if type(judge) is not str or not 0 < len(judge) <= LONGEST:
        raise ValueError("a score of a judge without a digest")
    Score(intended, label, probability).check(_MOST_CLASSES)  # type: ignore[arg-type]
