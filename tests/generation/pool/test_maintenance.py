import itertools
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline import progress
from pipeline.errors import ParameterError
from pipeline.generation.plan import Wanted
from pipeline.generation.pool import (
    Collected,
    Entry,
    Exported,
    Pool,
    Stats,
    StoredImage,
    export_pool,
    gc,
    list_recipes,
    stats,
)
from pipeline.generation.recipe import Recipe
from pipeline.workspace import Workspace
from tests.generation.pool.contents import DAY, age, everything, held, put


def test_stats_count_images_recipes_and_lanes(recipe: Recipe) -> None:
    """Six images of two recipes; recipe and lane together make three lanes; two images took more than one try.

    Three of them are a million bytes and their one-digit index, three ``image`` with its digit, or one byte.
    """
    other = replace(recipe, steps=3)
    with Pool(Workspace().pool) as pool:
        empty = stats(pool)
        assert replace(empty, disk_bytes=0) == Stats(Workspace().pool, 0, 0, 0, 0, 0, 0, 0)
        put(pool, recipe, "0", "bag", range(2), bytes(1_000_000))
        put(pool, recipe, "1", "bag", range(2), b"image", retry=2)
        put(pool, other, "0", "bag", range(1), bytes(1_000_000))
        pool.put(other, [StoredImage(other.spec("0", "coat", 0), b"x", "faint")])
        found = stats(pool)
    assert found == Stats(
        path=Workspace().pool,
        disk_bytes=found.disk_bytes,
        images=6,
        image_bytes=3 * 1_000_001 + 2 * 6 + 1,
        recipes=2,
        lanes=3,
        redrawn=2,
        faint=1,
    )
    assert found.disk_bytes > 3_000_000 > empty.disk_bytes


def test_recipes_are_listed_by_last_rendering(recipe: Recipe) -> None:
    old, new = replace(recipe, steps=30, model="hub/name-of-a-model@" + "0" * 40), replace(recipe, guidance=(1.0, 2.5))
    with Pool(Workspace().pool) as pool:
        assert list_recipes(pool) == []
        put(pool, new, "0", "bag", range(3), bytes(500_000))
        put(pool, old, "0", "bag", range(2), b"image")
        pool.db.execute(f'update images set added = {DAY} * (1 + 365 * "index")')
        pool.db.execute(f"update images set added = {DAY * 59} where recipe = '{old.digest}' and \"index\" = 0")
        pool.db.execute("insert into recipes values ('empty', '{}')")
        assert list_recipes(pool) == [
            Entry("empty", None, 0, 0, None, None),
            Entry(old.digest, old, 2, 2 * 6, 59 * DAY, 366 * DAY),
            Entry(new.digest, new, 3, 3 * 500_001, DAY, 731 * DAY),
        ]


def test_images_of_a_recipe_are_deleted_with_all_that_is_known_of_it(stocked: tuple[Recipe, Recipe]) -> None:
    recipe, other = stocked
    with Pool(Workspace().pool) as pool:
        assert gc(pool, [recipe.digest[:5]], None, False).images == 3
        assert held(pool, recipe) == []
        assert [index for *_, index in held(pool, other)] == [0, 1, 2]
        assert pool.db.execute("select digest from recipes").fetchall() == [(other.digest,)]
        put(pool, recipe, "0", "bag", range(1))
        assert recipe.digest in [entry.digest for entry in list_recipes(pool)]


@pytest.mark.parametrize(
    ("days", "kept"),
    [(11, [0, 1, 2]), (10, [1, 2]), (3, [1, 2]), (2, [2]), (1.5, [2]), (0, []), (20_000_000, [0, 1, 2])],
)
def test_images_of_an_age_or_more_are_deleted(stocked: tuple[Recipe, Recipe], days: float, kept: list[int]) -> None:
    with Pool(Workspace().pool) as pool:
        assert gc(pool, [], days, False).images == 2 * (3 - len(kept))
        for recipe in stocked:
            assert [index for *_, index in held(pool, recipe)] == kept


def test_recipe_and_age_together_delete_what_is_both(stocked: tuple[Recipe, Recipe]) -> None:
    recipe, other = stocked
    with Pool(Workspace().pool) as pool:
        assert gc(pool, [other.digest], 1, False).images == 2
        assert [index for *_, index in held(pool, recipe)] == [0, 1, 2]
        assert [index for *_, index in held(pool, other)] == [2]
        assert gc(pool, [other.digest, recipe.digest], 5, False).images == 1
        assert [index for *_, index in held(pool, recipe)] == [1, 2]


def test_a_dry_run_deletes_nothing(stocked: tuple[Recipe, Recipe]) -> None:
    before = everything(Workspace().pool)
    with Pool(Workspace().pool) as pool:
        assert gc(pool, [stocked[0].digest], None, True).images == 3
        assert gc(pool, [], 5, True).images == 2
        assert gc(pool, [stocked[1].digest], 5, True).images == 1
    assert everything(Workspace().pool) == before


def test_without_a_choice_nothing_is_deleted(stocked: tuple[Recipe, Recipe]) -> None:
    before = everything(Workspace().pool)
    with (
        Pool(Workspace().pool) as pool,
        pytest.raises(ParameterError, match=r"nothing chosen: .*: give --recipe, --older"),
    ):
        gc(pool, [], None, False)
    assert everything(Workspace().pool) == before


@pytest.mark.parametrize("dry_run", [True, False])
def test_an_endless_age_deletes_nothing(stocked: tuple[Recipe, Recipe], dry_run: bool) -> None:
    with Pool(Workspace().pool) as pool:
        assert gc(pool, [], float("inf"), dry_run) == Collected(0, 0)


def alike(recipe: Recipe) -> tuple[Recipe, Recipe]:
    """Return two recipes whose digests begin with the same letter."""
    for seed in itertools.count():
        other = replace(recipe, seed=seed)
        if other.digest[0] == recipe.digest[0] and other.digest != recipe.digest:
            return recipe, other
    raise AssertionError


@pytest.mark.parametrize("command", ["gc", "export"])
def test_a_beginning_of_no_or_of_several_digests_is_refused(recipe: Recipe, command: str, tmp_path: Path) -> None:
    both, out = alike(recipe), tmp_path / "out.sqlite"
    with Pool(Workspace().pool) as pool:
        for one in both:
            put(pool, one, "0", "bag", range(1))
        before = everything(Workspace().pool)

        def run(*chosen: str) -> Collected | Exported:
            return gc(pool, chosen, None, False) if command == "gc" else export_pool(pool, out, chosen)

        with pytest.raises(
            ParameterError, match=f"2 recipes in the pool start with this: --recipe {recipe.digest[0]}: "
        ):
            run(recipe.digest[0])
        for unknown in ("x", recipe.digest + "0", recipe.digest[1:], "%", "_", recipe.model):
            with pytest.raises(ParameterError, match="no recipes in the pool start with this"):
                run(both[1].digest, unknown)
        assert everything(Workspace().pool) == before
        assert not out.exists()
        assert run(recipe.digest).images == 1


@pytest.mark.parametrize("command", ["gc", "export"])
def test_an_empty_beginning_chooses_no_recipe(recipe: Recipe, command: str, tmp_path: Path) -> None:
    """As --recipe "$RECIPE" gives it when the variable is not set; the pool has one recipe only."""
    with Pool(Workspace().pool) as pool:
        put(pool, recipe, "0", "bag", range(2))
        with pytest.raises(ParameterError):
            gc(pool, [""], None, False) if command == "gc" else export_pool(pool, tmp_path / "out", [""])
        assert len(held(pool, recipe)) == 2


def on_disk() -> int:
    return sum(file.stat().st_size for file in Workspace().pool.parent.iterdir())


def test_deleting_gives_the_space_back(recipe: Recipe) -> None:
    """Twenty images of a megabyte, of which one is kept, while the pool stays open."""
    other = replace(recipe, steps=3)
    with Pool(Workspace().pool) as pool:
        put(pool, recipe, "0", "bag", range(19), bytes(1_000_000))
        put(pool, other, "0", "bag", range(1), bytes(1_000_000))
        assert on_disk() > 20_000_000
        assert gc(pool, [recipe.digest], None, False) == Collected(19, 19 * 1_000_001 + 9)
        assert on_disk() < 1_300_000
        assert [len(one.image) for one in pool.fetch(other, Wanted("0", "bag", 0, range(1)))] == [1_000_001]


def test_deleting_waits_for_a_run_that_writes(stocked: tuple[Recipe, Recipe], monkeypatch: pytest.MonkeyPatch) -> None:
    """It says that it waits just before it does."""
    collected, waits = list[Collected](), threading.Event()
    monkeypatch.setattr(progress, "say", lambda text: waits.set() if "waiting for another run" in text else None)

    def collect() -> None:
        with Pool(Workspace().pool) as mine:
            collected.append(gc(mine, [], 0, False))

    with Pool(Workspace().pool) as pool:
        thread = threading.Thread(target=collect)
        with pool.writing():
            thread.start()
            assert waits.wait(60)
            assert len(held(pool, stocked[0])) == 3
            put(pool, stocked[0], "0", "bag", range(3, 4))
            age(pool, 1, '"index" = 3')
        thread.join()
    assert [one.images for one in collected] == [7]
