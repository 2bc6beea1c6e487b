import itertools
import json
import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import ParameterError, PipelineError, PoolError
from pipeline.generation import care
from pipeline.generation import recipe as recipes
from pipeline.generation.plan import Wanted
from pipeline.generation.pool import COLUMNS, Pool, StoredImage
from pipeline.generation.prompts import PromptSet
from pipeline.generation.recipe import Recipe
from pipeline.workspace import Workspace

ROOT = Path(__file__).parents[2]
DAY = 86_400


def put(
    pool: Pool, recipe: Recipe, lane: str, name: str, indexes: range, image: bytes = b"image", retry: int = 0
) -> None:
    pool.put(recipe, [StoredImage(recipe.spec(lane, name, i, retry), image + str(i).encode()) for i in indexes])


def rows(path: Path) -> dict[tuple[Any, ...], tuple[Any, ...]]:
    """Return every image of a pool by its name."""
    with closing(sqlite3.connect(path)) as database:
        return {row[:4]: row[4:] for row in database.execute(f"select {COLUMNS} from images")}


def everything(path: Path) -> list[list[Any]]:
    with closing(sqlite3.connect(path)) as database:
        tables = ("recipes", "images", "rates")
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


# What is there


def test_stats_count_images_recipes_and_lanes(recipe: Recipe) -> None:
    """Six images of two recipes; recipe and lane together make three lanes; two images took more than one try."""
    other = replace(recipe, steps=3)
    with Pool(Workspace().pool) as pool:
        assert "\n0 images (0.0 MB) of 0 recipes in 0 lanes; 0 drawn more than once, 0 faint" in care.stats(pool)
        put(pool, recipe, "0", "bag", range(2), bytes(1_000_000))
        put(pool, recipe, "1", "bag", range(2), retry=2)
        put(pool, other, "0", "bag", range(1), bytes(1_000_000))
        pool.put(other, [StoredImage(other.spec("0", "coat", 0), b"x", "faint")])
        first, second = care.stats(pool).splitlines()
    assert second == "6 images (3.0 MB) of 2 recipes in 3 lanes; 2 drawn more than once, 1 faint"
    assert first.startswith(f"{Workspace().pool}: ")
    assert first.endswith(" MB on disk")
    assert float(first.split()[1]) >= 3.0


def test_the_list_tells_each_recipe_by_last_rendering(recipe: Recipe) -> None:
    old, new = replace(recipe, steps=30, model="hub/name-of-a-model@" + "0" * 40), replace(recipe, guidance=(1.0, 2.5))
    with Pool(Workspace().pool) as pool:
        assert care.listing(pool).split() == ["recipe", "images", "size", "first", "last", "model", "settings"]
        put(pool, new, "0", "bag", range(3), bytes(500_000))
        put(pool, old, "0", "bag", range(2))
        pool.db.execute(f'update images set added = {DAY} * (1 + 365 * "index")')
        pool.db.execute(f"update images set added = {DAY * 59} where recipe = '{old.digest}' and \"index\" = 0")
        head, first, second = care.listing(pool).splitlines()
    assert first.split() == [
        *(old.digest, "2", "0.0", "MB", "1970-03-01", "1971-01-02", old.model[:28]),
        *["30", "steps,", "guidance", "2,", "float32,", "seed", "7"],
    ]
    assert second.split() == [
        *(new.digest, "3", "1.5", "MB", "1970-01-02", "1972-01-02", "sha256:0"),
        *["2", "steps,", "guidance", "1", "2.5,", "float32,", "seed", "7"],
    ]
    assert head.index("settings") == first.index("30 steps") == second.index("2 steps")


# Throwing away


@pytest.fixture
def stocked(recipe: Recipe) -> tuple[Recipe, Recipe]:
    """A pool of two recipes, three images each: of 10 days, of 2 days and of now; each with a recorded rate."""
    other = replace(recipe, steps=3)
    with Pool(Workspace().pool) as pool:
        for one in (recipe, other):
            put(pool, one, "0", "bag", range(3))
            pool.record_rate(one, 5.0)
        age(pool, 10, '"index" = 0')
        age(pool, 2, '"index" = 1')
    return recipe, other


def test_images_of_a_recipe_are_deleted_with_all_that_is_known_of_it(stocked: tuple[Recipe, Recipe]) -> None:
    recipe, other = stocked
    with Pool(Workspace().pool) as pool:
        assert care.collect(pool, [recipe.digest[:5]], None, False) == "3 images (0.0 MB) deleted"
        assert held(pool, recipe) == []
        assert [index for *_, index in held(pool, other)] == [0, 1, 2]
        assert (pool.rate(recipe), pool.rate(other)) == (None, 5.0)
        assert pool.db.execute("select digest from recipes").fetchall() == [(other.digest,)]
        put(pool, recipe, "0", "bag", range(1))
        assert recipe.digest in care.listing(pool)


@pytest.mark.parametrize(
    ("days", "kept"),
    [(11, [0, 1, 2]), (10, [1, 2]), (3, [1, 2]), (2, [2]), (1.5, [2]), (0, []), (20_000_000, [0, 1, 2])],
)
def test_images_of_an_age_or_more_are_deleted(stocked: tuple[Recipe, Recipe], days: float, kept: list[int]) -> None:
    with Pool(Workspace().pool) as pool:
        said = care.collect(pool, [], days, False)
        assert said == f"{2 * (3 - len(kept))} images (0.0 MB) deleted"
        for recipe in stocked:
            assert [index for *_, index in held(pool, recipe)] == kept
            assert (pool.rate(recipe) is None) == (kept == [])


def test_recipe_and_age_together_delete_what_is_both(stocked: tuple[Recipe, Recipe]) -> None:
    recipe, other = stocked
    with Pool(Workspace().pool) as pool:
        assert care.collect(pool, [other.digest], 1, False) == "2 images (0.0 MB) deleted"
        assert [index for *_, index in held(pool, recipe)] == [0, 1, 2]
        assert [index for *_, index in held(pool, other)] == [2]
        assert care.collect(pool, [other.digest, recipe.digest], 5, False) == "1 images (0.0 MB) deleted"
        assert [index for *_, index in held(pool, recipe)] == [1, 2]


def test_a_dry_run_deletes_nothing(stocked: tuple[Recipe, Recipe]) -> None:
    before = everything(Workspace().pool)
    with Pool(Workspace().pool) as pool:
        assert care.collect(pool, [stocked[0].digest], None, True) == "3 images (0.0 MB) would be deleted"
        assert care.collect(pool, [], 5, True) == "2 images (0.0 MB) would be deleted"
        assert care.collect(pool, [stocked[1].digest], 5, True) == "1 images (0.0 MB) would be deleted"
    assert everything(Workspace().pool) == before


def test_without_a_choice_nothing_is_deleted(stocked: tuple[Recipe, Recipe]) -> None:
    before = everything(Workspace().pool)
    with (
        Pool(Workspace().pool) as pool,
        pytest.raises(ParameterError, match=r"nothing chosen: .*: give --recipe, --older"),
    ):
        care.collect(pool, [], None, False)
    assert everything(Workspace().pool) == before


@pytest.mark.parametrize("dry_run", [True, False])
def test_an_endless_age_deletes_nothing(stocked: tuple[Recipe, Recipe], dry_run: bool) -> None:
    with Pool(Workspace().pool) as pool:
        assert care.collect(pool, [], float("inf"), dry_run).startswith("0 images")


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

        def run(*chosen: str) -> str:
            return care.collect(pool, chosen, None, False) if command == "gc" else care.export(pool, out, chosen)

        with pytest.raises(ParameterError, match=f"2 recipes of the pool begin so: --recipe {recipe.digest[0]}: "):
            run(recipe.digest[0])
        for unknown in ("x", recipe.digest + "0", recipe.digest[1:], "%", "_", recipe.model):
            with pytest.raises(ParameterError, match="0 recipes of the pool begin so"):
                run(both[1].digest, unknown)
        assert everything(Workspace().pool) == before
        assert not out.exists()
        assert run(recipe.digest).startswith("1 images")


@pytest.mark.parametrize("command", ["gc", "export"])
def test_an_empty_beginning_chooses_no_recipe(recipe: Recipe, command: str, tmp_path: Path) -> None:
    """As --recipe "$RECIPE" gives it when the variable is not set; the pool has one recipe only."""
    with Pool(Workspace().pool) as pool:
        put(pool, recipe, "0", "bag", range(2))
        with pytest.raises(ParameterError):
            care.collect(pool, [""], None, False) if command == "gc" else care.export(pool, tmp_path / "out", [""])
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
        assert care.collect(pool, [recipe.digest], None, False) == "19 images (19.0 MB) deleted"
        assert on_disk() < 1_300_000
        assert [len(one.image) for one in pool.fetch(other, Wanted("0", "bag", 0, range(1)))] == [1_000_001]


def test_deleting_waits_for_a_run_that_writes(stocked: tuple[Recipe, Recipe]) -> None:
    said = list[str]()

    def collect() -> None:
        with Pool(Workspace().pool) as mine:
            said.append(care.collect(mine, [], 0, False))

    with Pool(Workspace().pool) as pool:
        thread = threading.Thread(target=collect)
        with pool.writing():
            thread.start()
            time.sleep(0.3)
            assert len(held(pool, stocked[0])) == 3
            put(pool, stocked[0], "0", "bag", range(3, 4))
            age(pool, 1, '"index" = 3')
        thread.join()
    assert said == ["7 images (0.0 MB) deleted"]


# Export


def test_an_export_is_one_file_that_opens_as_a_pool(stocked: tuple[Recipe, Recipe], tmp_path: Path) -> None:
    out = tmp_path / "new folder" / "out.sqlite"
    with Pool(Workspace().pool) as pool:
        assert care.export(pool, out, []).startswith(f"6 images in {out} (")
    assert list(out.parent.iterdir()) == [out]
    assert out.stat().st_mode & 0o777 == 0o644
    assert rows(out) == rows(Workspace().pool)
    with closing(sqlite3.connect(out)) as database:
        assert database.execute("pragma integrity_check").fetchone() == ("ok",)
        assert database.execute("pragma journal_mode").fetchone() == ("delete",)
    with Pool(out) as other:
        for recipe in stocked:
            assert other.lacks(recipe, [Wanted("0", "bag", 0, range(4))]) == 1
            assert len(list(other.fetch(recipe, Wanted("0", "bag", 0, range(3))))) == 3
        assert care.listing(other).count("\n") == 2


def test_one_recipe_is_exported_by_the_beginning_of_its_digest(stocked: tuple[Recipe, Recipe], tmp_path: Path) -> None:
    recipe, other = stocked
    out = tmp_path / "out.sqlite"
    out.write_text("what was there before")
    with Pool(Workspace().pool) as pool:
        assert care.export(pool, out, [other.digest[:6]]).startswith("3 images")
    assert rows(out) == {key: row for key, row in rows(Workspace().pool).items() if key[0] == other.digest}
    with Pool(out) as exported:
        assert exported.db.execute("select digest from recipes").fetchall() == [(other.digest,)]
        assert exported.lacks(recipe, [Wanted("0", "bag", 0, range(3))]) == 3


def test_equal_pools_give_equal_exports(recipe: Recipe, tmp_path: Path) -> None:
    """Whatever the order in which the images came."""
    contents = list[bytes]()
    for order in ((0, 1, 2), (2, 0, 1)):
        with Pool(tmp_path / f"{order[0]}" / "pool.sqlite") as pool:
            for i in order:
                put(pool, recipe, "0", "bag", range(i, i + 1))
            age(pool, 0, "1")
            pool.db.execute("update images set added = 7")
            care.export(pool, tmp_path / "out.sqlite", [])
        contents.append((tmp_path / "out.sqlite").read_bytes())
    assert contents[0] == contents[1]


def test_an_export_replaces_a_pool_that_was_left_by_a_kill(stocked: tuple[Recipe, Recipe], tmp_path: Path) -> None:
    """The killed process left its last changes beside the pool, in a file that SQLite reads when it opens the pool."""
    old, copy = tmp_path / "old" / "pool.sqlite", tmp_path / "killed"
    with Pool(old) as pool:
        put(pool, stocked[0], "9", "bag", range(50))
        shutil.copytree(old.parent, copy)
    out = copy / old.name
    assert (copy / "pool.sqlite-wal").stat().st_size > 0
    with Pool(Workspace().pool) as pool:
        assert care.export(pool, out, []).startswith("6 images")
    assert rows(out) == rows(Workspace().pool)


def test_the_pool_itself_is_no_place_to_export_to(stocked: tuple[Recipe, Recipe], tmp_path: Path) -> None:
    link = tmp_path / "link.sqlite"
    link.symlink_to(Workspace().pool)
    before = everything(Workspace().pool)
    with Pool(Workspace().pool) as pool:
        for out in (
            Workspace().pool,
            link,
            Workspace().pool.parent / ".." / Workspace().pool.parent.name / Workspace().pool.name,
        ):
            with pytest.raises(ParameterError, match=r"that is the pool itself: .*: choose another file"):
                care.export(pool, out, [])
    assert everything(Workspace().pool) == before


@pytest.mark.parametrize("there_before", [True, False])
def test_an_export_that_fails_leaves_what_was_there(recipe: Recipe, tmp_path: Path, there_before: bool) -> None:
    """SQLite gives up when the new file has its first megabyte."""
    folder = tmp_path / "out"
    folder.mkdir()
    out = folder / "out.sqlite"
    if there_before:
        out.write_text("before")
    with Pool(Workspace().pool) as pool:
        put(pool, recipe, "0", "bag", range(1_000), bytes(10_000))
        pool.db.set_progress_handler(lambda: any(file.stat().st_size > 1e6 for file in folder.iterdir()), 10)
        with pytest.raises(PoolError, match="interrupted"):
            care.export(pool, out, [])
        pool.db.set_progress_handler(None, 0)
        assert [file.read_text() for file in folder.iterdir()] == ["before"] * there_before
        assert not pool.db.in_transaction
        assert care.export(pool, out, []).startswith("1000 images")
    assert list(folder.iterdir()) == [out]


def test_a_place_that_cannot_be_written_is_blamed_and_not_the_pool(recipe: Recipe, tmp_path: Path) -> None:
    """A folder; a place below a file; a disk that is full (the system refuses files above a size) at two moments."""
    (tmp_path / "file").write_text("")
    below, full = tmp_path / "file" / "out.sqlite", tmp_path / "full" / "out.sqlite"
    before, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with Pool(Workspace().pool) as pool:
        put(pool, recipe, "0", "bag", range(100), bytes(10_000))
        with pytest.raises(ParameterError, match=rf"that is a folder: {tmp_path}: give the name of the file"):
            care.export(pool, tmp_path, [])
        with pytest.raises(PipelineError, match=rf"cannot write \(.+\): {below}: "):
            care.export(pool, below, [])
        for size in (1, 500_000):
            try:
                resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
                with pytest.raises(PoolError, match=rf"\(.+\): {full}: choose a file in a folder"):
                    care.export(pool, full, [])
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, (before, hard))
            assert list(full.parent.iterdir()) == []
        assert care.export(pool, full, []).startswith("100 images")


def test_an_export_that_is_killed_leaves_nothing_under_the_final_name(recipe: Recipe, tmp_path: Path) -> None:
    text = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from pipeline.generation import care\n"
        "from pipeline.generation.pool import Pool\n"
        "out = Path(sys.argv[2])\n"
        "def fatal():\n"
        "    if any(file.stat().st_size > 1e6 for file in out.parent.iterdir()):\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "with Pool(Path(sys.argv[1])) as pool:\n"
        "    pool.db.set_progress_handler(fatal, 10)\n"
        "    care.export(pool, out, [])\n"
    )
    out = tmp_path / "out" / "out.sqlite"
    out.parent.mkdir()
    with Pool(Workspace().pool) as pool:
        put(pool, recipe, "0", "bag", range(1_000), bytes(10_000))
    done = subprocess.run([sys.executable, "-c", text, str(Workspace().pool), str(out)], cwd=ROOT, check=False)
    assert done.returncode == -signal.SIGKILL
    assert not out.exists()
    with Pool(Workspace().pool) as pool:
        assert len(held(pool, recipe)) == 1_000
        assert care.export(pool, out, []).startswith("1000 images")
    with Pool(out) as other:
        assert len(held(other, recipe)) == 1_000


# Import


def test_two_pools_become_their_union_and_ours_stays(
    recipe: Recipe, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The other has 2,400 images, of which 5 are here already, drawn on another machine; they come in three pieces."""
    other, theirs = replace(recipe, steps=3), tmp_path / "theirs.sqlite"
    with Pool(theirs) as pool:
        put(pool, recipe, "0", "bag", range(5, 15), b"theirs")
        put(pool, recipe, "1", "bag", range(2_385), retry=1)
        put(pool, other, "0", "bag", range(5))
        age(pool, 9, "1")
    with Pool(Workspace().pool) as pool:
        put(pool, recipe, "0", "bag", range(10), b"ours")
        ours = rows(Workspace().pool)
        said = care.merge(pool, theirs)
        assert said == f"2395 images imported from {theirs}; 5 were here already"
        assert [one.image for one in pool.fetch(recipe, Wanted("0", "bag", 0, range(15)))] == [
            *(b"ours%d" % i for i in range(10)),
            *(b"theirs%d" % i for i in range(10, 15)),
        ]
        assert len(list(pool.fetch(recipe, Wanted("1", "bag", 0, 2_385)))) == 2_385
        assert len(list(pool.fetch(other, Wanted("0", "bag", 0, range(5))))) == 5
        assert care.merge(pool, theirs) == f"0 images imported from {theirs}; 2400 were here already"
    assert rows(Workspace().pool) == {**rows(theirs), **ours}
    assert "import: 2400/2400 images" in capsys.readouterr().err


def test_what_was_exported_can_be_imported(stocked: tuple[Recipe, Recipe], tmp_path: Path) -> None:
    out = tmp_path / "out.sqlite"
    with Pool(Workspace().pool) as pool:
        care.export(pool, out, [])
        assert care.merge(pool, Workspace().pool) == f"0 images imported from {Workspace().pool}; 6 were here already"
    with Pool(tmp_path / "empty" / "pool.sqlite") as pool:
        assert care.merge(pool, out) == f"6 images imported from {out}; 0 were here already"
        assert pool.lacks(stocked[0], [Wanted("0", "bag", 0, range(3))]) == 0
    assert rows(tmp_path / "empty" / "pool.sqlite") == rows(Workspace().pool)


def test_images_of_many_prompts_and_scales_can_be_imported(recipe: Recipe, tmp_path: Path) -> None:
    sentences = PromptSet(("a {colour} {class}", "one {class}"), (("colour", ("red", "blue")),))
    varied = replace(recipe, prompts=sentences, guidance=(1.0, 1.5, 2.0), scheduler_options={"a": [1, None]}, quality=9)
    with Pool(tmp_path / "theirs.sqlite") as pool:
        put(pool, varied, "0", "bag", range(30))
        put(pool, varied, "common", "bag", range(30), retry=3)
    with Pool(Workspace().pool) as pool:
        assert care.merge(pool, tmp_path / "theirs.sqlite").startswith("60 images")
        specs = [one.spec for one in pool.fetch(varied, Wanted("0", "bag", 0, range(30)))]
    assert specs == [varied.spec("0", "bag", i) for i in range(30)]
    assert len({(spec.prompt, spec.guidance) for spec in specs}) > 4


def test_importing_leaves_the_file_as_it_was(stocked: tuple[Recipe, Recipe], tmp_path: Path) -> None:
    """Its checksum may be published."""
    out = tmp_path / "out" / "out.sqlite"
    with Pool(Workspace().pool) as pool:
        care.export(pool, out, [])
    before = out.read_bytes()
    with Pool(tmp_path / "empty" / "pool.sqlite") as pool:
        care.merge(pool, out)
    assert out.read_bytes() == before
    assert list(out.parent.iterdir()) == [out]


def refused(path: Path, match: str) -> None:
    """Import a file into a pool with an image; check that it is refused in one line and nothing is taken over."""
    before = everything(Workspace().pool)
    with Pool(Workspace().pool) as pool:
        with pytest.raises(PipelineError, match=match) as raised:
            care.merge(pool, path)
        assert not pool.db.in_transaction
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)
    assert everything(Workspace().pool) == before


@pytest.fixture
def theirs(recipe: Recipe, tmp_path: Path) -> Path:
    """Five images, of which our own pool has one; ours is of a recipe more."""
    path = tmp_path / "theirs.sqlite"
    with Pool(path) as pool:
        put(pool, recipe, "0", "bag", range(5))
    with Pool(Workspace().pool) as pool:
        put(pool, recipe, "0", "bag", range(1))
        put(pool, replace(recipe, steps=3), "0", "bag", range(1))
    return path


@pytest.mark.parametrize(
    ("old", "new"), [('"steps": 2', '"steps": 9'), ('"seed": 7', '"seed": 8'), ('"a photo', '"one photo')]
)
def test_a_recipe_whose_text_was_changed_is_refused(theirs: Path, old: str, new: str) -> None:
    change(theirs, "update recipes set recipe = replace(recipe, ?, ?)", old, new)
    refused(theirs, "recipe .* does not have this digest: .*: the file is damaged or was edited")


@pytest.mark.parametrize("text", ["", "{", "null", "[]", "5", '{"steps": 2}', "\u00e9"])
def test_a_recipe_that_is_none_is_refused(theirs: Path, text: str) -> None:
    change(theirs, "update recipes set recipe = ?", text)
    refused(theirs, "recipe .* is of another version of gen-fedsd")


Described = dict[str, Any]


@pytest.mark.parametrize(
    "edit",
    [
        lambda recipe: {**recipe, "more": 1},
        lambda recipe: {name: value for name, value in recipe.items() if name != "quality"},
        lambda recipe: {**recipe, "guidance": []},
        lambda recipe: {**recipe, "guidance": 2.0},
        lambda recipe: {**recipe, "guidance": ["a"]},
        lambda recipe: {**recipe, "prompts": {"templates": []}},
        lambda recipe: {**recipe, "prompts": {"templates": [5]}},
        lambda recipe: {**recipe, "prompts": {"templates": ["a {class}"], "colour": []}},
        lambda recipe: {**recipe, "prompts": "a {class}"},
        lambda recipe: {**recipe, "prompts": {}},
        lambda recipe: {**recipe, "seed": None},
    ],
)
def test_a_recipe_that_no_version_wrote_is_refused(
    recipe: Recipe, theirs: Path, edit: Callable[[Described], Described]
) -> None:
    """Its digest is that of its text."""
    described = edit(recipe.as_dict())
    change(theirs, "update recipes set recipe = ?, digest = ?", json.dumps(described), recipes.digest(described))
    change(theirs, "update images set recipe = ?", recipes.digest(described))
    refused(theirs, ".")


@pytest.mark.parametrize(
    "edit",
    [
        "prompt = 'a photo of a gun'",
        "negative_prompt = 'bag'",
        "guidance = 3",
        "seed = seed + 1",
        "retry = 1",
        "retry = -1",
        "lane = '1'",
        "class_name = 'coat'",
        '"index" = 7',
        "recipe = '0000000000000000'",
    ],
)
def test_an_image_that_is_not_what_its_recipe_says_is_refused(theirs: Path, edit: str) -> None:
    """The fifth of five: the four before it are not taken over either."""
    change(theirs, f'update images set {edit} where "index" = 4')
    refused(
        theirs, "image . of '.*' in lane . is not of recipe .*: the file is damaged or was edited; ask for it again"
    )


def test_an_image_before_the_first_is_refused(recipe: Recipe, theirs: Path) -> None:
    """It would stand in the way of the images that count from 0."""
    with Pool(theirs) as pool:
        put(pool, recipe, "0", "coat", range(-1, 0))
    refused(theirs, "image -1 of 'coat'")


def no_pool(place: Path, kind: str) -> None:
    if kind == "text":
        place.write_text("no database " * 1_000)
    if kind == "empty":
        place.touch()
    if kind == "folder":
        place.mkdir()
    if kind == "database":
        with closing(sqlite3.connect(place)) as database:
            database.execute("create table cats (name text)")
    if kind == "database of the same version":
        with closing(sqlite3.connect(place)) as database:
            database.execute("create table cats (name text)")
            database.execute("pragma user_version = 1")


@pytest.mark.parametrize(
    "kind", ["text", "empty", "folder", "database", "database of the same version", "nothing at all"]
)
def test_what_is_no_pool_is_refused_and_left_alone(theirs: Path, tmp_path: Path, kind: str) -> None:
    place = tmp_path / "file"
    no_pool(place, kind)
    before = place.read_bytes() if place.is_file() else b""
    refused(place, "gen-fedsd pool export wrote$")
    assert (place.read_bytes() if place.is_file() else b"") == before


@pytest.mark.parametrize("version", [0, 2])
def test_a_pool_of_another_format_is_refused(theirs: Path, version: int) -> None:
    change(theirs, 'delete from images where "index" = 4')
    with closing(sqlite3.connect(theirs)) as database:
        database.execute(f"pragma user_version = {version}")
    refused(theirs, f"has format {version}, .*: ask for a file that gen-fedsd pool export wrote$")


def test_a_pool_that_lies_where_nothing_can_be_written_is_refused_with_a_way_out(theirs: Path, tmp_path: Path) -> None:
    """SQLite wants a file beside a pool that was copied raw; a folder in its way stands in for a read-only place."""
    place = tmp_path / "copied" / "pool.sqlite"
    place.parent.mkdir()
    place.write_bytes(theirs.read_bytes())
    place.with_name("pool.sqlite-wal").mkdir()
    refused(place, rf"cannot use the pool \(.*\): {place}: ask for a file that gen-fedsd pool export wrote$")
    place.with_name("pool.sqlite-wal").rmdir()
    with Pool(Workspace().pool) as pool:
        assert "images imported" in care.merge(pool, place)


def test_a_damaged_pool_is_refused(recipe: Recipe, theirs: Path) -> None:
    """Its images fail to be read at the end, when the others would be in."""
    with Pool(theirs) as pool:
        put(pool, recipe, "1", "bag", range(3_000), bytes(3_000))
        pool.db.execute("pragma wal_checkpoint(truncate)")
    content = theirs.read_bytes()
    theirs.write_bytes(content[: len(content) // 2] + b"\xff" * (len(content) - len(content) // 2))
    refused(theirs, ".")


def test_an_import_that_fails_takes_over_nothing(recipe: Recipe, theirs: Path) -> None:
    """SQLite gives up when so much work is done as the first two of three thousand images take."""
    with Pool(theirs) as pool:
        put(pool, recipe, "1", "bag", range(3_000))
    before = everything(Workspace().pool)
    with Pool(Workspace().pool) as pool:
        calls = itertools.count()
        pool.db.set_progress_handler(lambda: pool.db.total_changes > 2_500 and next(calls) >= 0, 10)
        with pytest.raises(PoolError, match="interrupted"):
            care.merge(pool, theirs)
        pool.db.set_progress_handler(None, 0)
        assert everything(Workspace().pool) == before
        assert care.merge(pool, theirs) == f"3004 images imported from {theirs}; 1 were here already"


# By the real commands


def run(*arguments: str | Path, cache: Path | None = None) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, **({"GEN_FEDSD_CACHE": str(cache)} if cache else {})}
    command = [sys.executable, "-m", "pipeline", "pool", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def good(*arguments: str | Path, cache: Path | None = None) -> str:
    done = run(*arguments, cache=cache)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_commands_carry_images_from_one_pool_to_another(
    stocked: tuple[Recipe, Recipe], cache: Path, tmp_path: Path
) -> None:
    recipe, other = stocked
    out, second = tmp_path / "out.sqlite", tmp_path / "second"
    assert "6 images (0.0 MB) of 2 recipes in 2 lanes" in good("stats")
    assert [line.split()[0] for line in good("list").splitlines()[1:]] == sorted([recipe.digest, other.digest])
    assert good("export", out, "--recipe", recipe.digest[:8]).startswith(f"3 images in {out}")
    done = run("import", out, cache=second)
    assert (done.returncode, done.stdout) == (0, f"3 images imported from {out}; 0 were here already\n")
    assert done.stderr.startswith("import: 3/3 images")
    assert rows(second / "pool.sqlite") == {
        key: row for key, row in rows(Workspace().pool).items() if key[0] == recipe.digest
    }
    assert good("gc", "--older-than", "1.5", "--dry-run", cache=second) == "2 images (0.0 MB) would be deleted\n"
    assert good("gc", "--older-than", "1.5", "--recipe", recipe.digest, cache=second) == "2 images (0.0 MB) deleted\n"
    assert "1 images (0.0 MB) of 1 recipes" in good("stats", cache=second)
    assert good("gc", "--recipe", recipe.digest[:8], "--recipe", other.digest[:8]) == "6 images (0.0 MB) deleted\n"
    assert good("list").count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["gc"], "nothing chosen: gen-fedsd pool gc: give --recipe, --older-than, or both"),
        (["gc", "--recipe", "xyz"], "0 recipes of the pool begin so: --recipe xyz: gen-fedsd pool list shows"),
        (["gc", "--older-than", "-1"], "Invalid value for '--older-than'"),
        (["gc", "--older-than", "many"], "Invalid value for '--older-than'"),
        (["export"], "Missing argument 'out'"),
        (["export", "out.sqlite", "--recipe", "xyz"], "0 recipes of the pool begin so: --recipe xyz"),
        (["export", "POOL"], "that is the pool itself"),
        (["export", "FOLDER"], "FOLDER"),
        (["import"], "Missing argument 'file'"),
        (
            ["import", "nowhere.sqlite"],
            "no such file: nowhere.sqlite: give a pool, or what gen-fedsd pool export wrote",
        ),
        (["import", "FOLDER"], "no such file: "),
        (["import", "README.md"], "README.md"),
        (["drain"], "No such command 'drain'"),
    ],
)
def test_a_users_mistake_is_one_line_and_exit_code_2(
    stocked: tuple[Recipe, Recipe], tmp_path: Path, arguments: list[str], said: str
) -> None:
    before, names = everything(Workspace().pool), {"POOL": Workspace().pool, "FOLDER": tmp_path}
    done = run(*(names.get(argument, argument) for argument in arguments))
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert done.stderr.startswith("error: ")
    assert str(names.get(said, said)) in done.stderr
    assert done.stderr.count("\n") == 1
    assert everything(Workspace().pool) == before
    assert not (ROOT / "out.sqlite").exists()


def test_a_pool_of_a_newer_format_is_refused_by_every_command(cache: Path, tmp_path: Path) -> None:
    with Pool(Workspace().pool) as pool:
        pool.db.execute("pragma user_version = 2")
    for arguments in (["stats"], ["list"], ["gc", "--older-than", "1"], ["export", tmp_path / "x"], ["import", "x"]):
        done = run(*arguments)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
        assert "error: this pool has format 2, and this version of gen-fedsd reads format 1: " in done.stderr
