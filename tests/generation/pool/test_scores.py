"""Scores are kept with the images that they are of, whatever becomes of these."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.artifacts.gate import Score
from pipeline.errors import PoolError
from pipeline.generation.plan import Wanted
from pipeline.generation.pool import Imported, Pool, export_pool, gc, import_pool, scores, stats
from pipeline.generation.recipe import Recipe
from pipeline.workspace import Workspace
from tests.generation.pool.contents import everything, put, rows

BAGS = Wanted("0", "bag", 1, range(3))


def score(pool: Pool, recipe: Recipe, indices: Sequence[int], judge: str = "judge", intended: int = 1) -> None:
    """Give each image the label 0 and the probability of a tenth of its index."""
    given = [(recipe.spec("0", "bag", i), Score(intended, 0, i / 10)) for i in indices]
    scores.put(pool, recipe, judge, given)


def known(pool: Pool, recipe: Recipe, judge: str = "judge", wanted: Wanted = BAGS) -> dict[int, Score]:
    return dict(scores.known(pool, recipe, judge, wanted))


def version(path: Path) -> int:
    with closing(sqlite3.connect(path)) as database:
        found: int = database.execute("pragma user_version").fetchone()[0]
    return found


def test_the_first_score_migrates_the_pool_and_touches_no_image(stocked: tuple[Recipe, Recipe]) -> None:
    recipe, path = stocked[0], Workspace().pool
    before = rows(path)
    assert version(path) == 1
    with Pool(path) as pool:
        assert known(pool, recipe) == {}
        scores.put(pool, recipe, "judge", [])
        assert version(path) == 1
        score(pool, recipe, [2, 0])
        assert version(path) == 2
    assert rows(path) == before
    with Pool(path) as pool:
        assert known(pool, recipe) == {0: Score(1, 0, 0.0), 2: Score(1, 0, 0.2)}
        assert (stats(pool).scores, stats(pool).judges) == (2, 1)


def test_a_pool_of_rates_is_migrated_too(stocked: tuple[Recipe, Recipe]) -> None:
    with closing(sqlite3.connect(Workspace().pool)) as database:
        database.execute("create table if not exists rates (recipe text primary key, images_per_second real not null)")
    with Pool(Workspace().pool) as pool:
        score(pool, stocked[0], [1])
    with Pool(Workspace().pool) as pool:
        assert known(pool, stocked[0]) == {1: Score(1, 0, 0.1)}


def test_a_migration_that_fails_leaves_the_pool_as_it_was(stocked: tuple[Recipe, Recipe]) -> None:
    """The second score breaks the rule that a label is not null."""
    before = everything(Workspace().pool)
    with Pool(Workspace().pool) as pool:
        spec = stocked[0].spec("0", "bag", 0)
        with pytest.raises(sqlite3.IntegrityError):
            scores.put(pool, stocked[0], "judge", [(spec, Score(1, 0, 0.5)), (spec, Score(1, None, 0.5))])  # type: ignore[arg-type]
        assert not known(pool, stocked[0])
    assert version(Workspace().pool) == 1
    assert everything(Workspace().pool) == before


def test_judges_labels_and_recipes_do_not_mix(stocked: tuple[Recipe, Recipe]) -> None:
    recipe, other = stocked
    with Pool(Workspace().pool) as pool:
        score(pool, recipe, [0])
        score(pool, recipe, [1], judge="second")
        score(pool, recipe, [2], intended=2)
        assert list(known(pool, recipe)) == [0]
        assert list(known(pool, recipe, "second")) == [1]
        assert list(known(pool, recipe, wanted=replace(BAGS, label=2))) == [2]
        assert not known(pool, other)
        assert not known(pool, recipe, wanted=replace(BAGS, lane="1"))
        assert not known(pool, recipe, wanted=replace(BAGS, class_name="coat"))


def test_an_image_that_is_put_again_loses_its_scores(stocked: tuple[Recipe, Recipe]) -> None:
    with Pool(Workspace().pool) as pool:
        score(pool, stocked[0], [0, 1])
        score(pool, stocked[0], [1], judge="second")
        put(pool, stocked[0], "0", "bag", range(1, 2), blue=7)
        assert list(known(pool, stocked[0])) == [0]
        assert not known(pool, stocked[0], "second")


def test_images_that_are_deleted_take_their_scores_with_them(stocked: tuple[Recipe, Recipe]) -> None:
    """The image 0 is of 10 days, 1 of 2 days and 2 of now."""
    with Pool(Workspace().pool) as pool:
        score(pool, stocked[0], [0, 1, 2])
        gc(pool, [], 5, dry_run=False)
        assert list(known(pool, stocked[0])) == [1, 2]
        gc(pool, [stocked[0].digest], None, dry_run=False)
        assert scores.count(pool) == (0, 0)


def test_an_export_has_the_scores_of_its_images(stocked: tuple[Recipe, Recipe], tmp_path: Path) -> None:
    recipe, other = stocked
    out = tmp_path / "out.sqlite"
    with Pool(Workspace().pool) as pool:
        export_pool(pool, out, [])
        assert version(out) == 1
        score(pool, recipe, [0, 2])
        score(pool, other, [1])
        export_pool(pool, out, [recipe.digest])
    assert list(out.parent.glob("out.sqlite*")) == [out]
    with Pool(out) as exported:
        assert list(known(exported, recipe)) == [0, 2]
        assert scores.count(exported) == (2, 1)


def test_scores_come_with_images_of_equal_bytes(recipe: Recipe, tmp_path: Path) -> None:
    """Of four images of theirs this pool has 0 as it is, 1 as another picture with a score, and 2 with a score."""
    theirs = tmp_path / "theirs.sqlite"
    with Pool(theirs) as pool:
        put(pool, recipe, "0", "bag", range(4))
        score(pool, recipe, range(4))
    with Pool(Workspace().pool) as pool:
        put(pool, recipe, "0", "bag", range(3))
        put(pool, recipe, "0", "bag", range(1, 2), blue=7)
        scores.put(pool, recipe, "judge", [(recipe.spec("0", "bag", 2), Score(1, 1, 0.9))])
        assert import_pool(pool, theirs) == Imported(1, 3)
        assert known(pool, recipe) == {0: Score(1, 0, 0.0), 2: Score(1, 1, 0.9), 3: Score(1, 0, 0.3)}


BAD: dict[str, tuple[str, Any]] = {
    "a probability above 1": ("probability", 1.5),
    "a text for a probability": ("probability", "high"),
    "a label before the first": ("label", -1),
    "a label of half a class": ("label", 0.5),
    "a label that overflows": ("intended", 2**40),
    "no digest of a judge": ("judge", ""),
    "a long digest of a judge": ("judge", "x" * 10_000),
    "a blob of a judge": ("judge", b"judge"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_pool_with_other_values_than_scores_is_refused(recipe: Recipe, tmp_path: Path, name: str) -> None:
    theirs, (column, value) = tmp_path / "theirs.sqlite", BAD[name]
    with Pool(theirs) as pool:
        put(pool, recipe, "0", "bag", range(2))
        score(pool, recipe, [0, 1])
        pool.db.execute(f'update scores set {column} = ? where "index" = 1', (value,))
    with Pool(Workspace().pool) as pool:
        before = everything(pool.path)
        with pytest.raises(PoolError, match=rf"a score .*: {theirs}: the file is damaged or was edited"):
            import_pool(pool, theirs)
        assert everything(pool.path) == before
        assert scores.count(pool) == (0, 0)


@pytest.mark.parametrize(
    "script",
    ["create trigger t after insert on scores begin delete from images; end", "create index more on scores (judge)",
     "drop table scores; create view scores as select * from images", "pragma user_version = 1"],
)  # fmt: skip
def test_only_the_exact_table_of_scores_is_read(recipe: Recipe, tmp_path: Path, script: str) -> None:
    theirs = tmp_path / "theirs.sqlite"
    with Pool(theirs) as pool:
        put(pool, recipe, "0", "bag", range(2))
        score(pool, recipe, [0])
        pool.db.executescript(script)
    with Pool(Workspace().pool) as pool, pytest.raises(PoolError, match="this file is not a pool"):
        import_pool(pool, theirs)
