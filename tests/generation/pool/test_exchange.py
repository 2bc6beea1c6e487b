import itertools
import json
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import ParameterError, PipelineError, PoolError
from pipeline.generation import recipe as recipes
from pipeline.generation.plan import Wanted
from pipeline.generation.pool import Imported, Pool, export_pool, import_pool, list_recipes
from pipeline.generation.prompts import PromptSet
from pipeline.generation.recipe import Recipe
from pipeline.workspace import Workspace
from tests.generation.pool.contents import age, change, everything, held, picture, put, rows

ROOT = Path(__file__).parents[3]


def test_an_export_is_one_file_that_opens_as_a_pool(stocked: tuple[Recipe, Recipe], tmp_path: Path) -> None:
    out = tmp_path / "new folder" / "out.sqlite"
    with Pool(Workspace().pool) as pool:
        assert export_pool(pool, out, []).images == 6
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
        assert len(list_recipes(other)) == 2


def test_one_recipe_is_exported_by_the_beginning_of_its_digest(stocked: tuple[Recipe, Recipe], tmp_path: Path) -> None:
    recipe, other = stocked
    out = tmp_path / "out.sqlite"
    out.write_text("what was there before")
    with Pool(Workspace().pool) as pool:
        assert export_pool(pool, out, [other.digest[:6]]).images == 3
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
            export_pool(pool, tmp_path / "out.sqlite", [])
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
        assert export_pool(pool, out, []).images == 6
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
                export_pool(pool, out, [])
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
            export_pool(pool, out, [])
        pool.db.set_progress_handler(None, 0)
        assert [file.read_text() for file in folder.iterdir()] == ["before"] * there_before
        assert not pool.db.in_transaction
        assert export_pool(pool, out, []).images == 1000
    assert list(folder.iterdir()) == [out]


def test_a_place_that_cannot_be_written_is_blamed_and_not_the_pool(recipe: Recipe, tmp_path: Path) -> None:
    """A folder; a place below a file; a disk that is full (the system refuses files above a size) at two moments."""
    (tmp_path / "file").write_text("")
    below, full = tmp_path / "file" / "out.sqlite", tmp_path / "full" / "out.sqlite"
    before, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with Pool(Workspace().pool) as pool:
        put(pool, recipe, "0", "bag", range(100), bytes(10_000))
        with pytest.raises(ParameterError, match=rf"that is a folder: {tmp_path}: give the name of the file"):
            export_pool(pool, tmp_path, [])
        with pytest.raises(PipelineError, match=rf"cannot write \(.+\): {below}: "):
            export_pool(pool, below, [])
        for size in (1, 500_000):
            try:
                resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
                with pytest.raises(PoolError, match=rf"\(.+\): {full}: choose a file in a folder"):
                    export_pool(pool, full, [])
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, (before, hard))
            assert list(full.parent.iterdir()) == []
        assert export_pool(pool, full, []).images == 100


def test_an_export_that_is_killed_leaves_nothing_under_the_final_name(recipe: Recipe, tmp_path: Path) -> None:
    text = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from pipeline.generation.pool import Pool, export_pool\n"
        "out = Path(sys.argv[2])\n"
        "def fatal():\n"
        "    if any(file.stat().st_size > 1e6 for file in out.parent.iterdir()):\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "with Pool(Path(sys.argv[1])) as pool:\n"
        "    pool.db.set_progress_handler(fatal, 10)\n"
        "    export_pool(pool, out, [])\n"
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
        assert export_pool(pool, out, []).images == 1000
    with Pool(out) as other:
        assert len(held(other, recipe)) == 1_000


def test_two_pools_become_their_union_and_ours_stays(
    recipe: Recipe, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The other has 2,400 images, of which 5 are here already, drawn on another machine; they come in three pieces."""
    other, theirs = replace(recipe, steps=3), tmp_path / "theirs.sqlite"
    with Pool(theirs) as pool:
        put(pool, recipe, "0", "bag", range(5, 15), blue=1)
        put(pool, recipe, "1", "bag", range(2_385), retry=1)
        put(pool, other, "0", "bag", range(5))
        age(pool, 9, "1")
    with Pool(Workspace().pool) as pool:
        put(pool, recipe, "0", "bag", range(10), blue=2)
        ours = rows(Workspace().pool)
        assert import_pool(pool, theirs) == Imported(2_395, 5)
        assert [one.image for one in pool.fetch(recipe, Wanted("0", "bag", 0, range(15)))] == [
            *(picture(i, 2) for i in range(10)),
            *(picture(i, 1) for i in range(10, 15)),
        ]
        assert len(list(pool.fetch(recipe, Wanted("1", "bag", 0, range(2_385))))) == 2_385
        assert len(list(pool.fetch(other, Wanted("0", "bag", 0, range(5))))) == 5
        assert import_pool(pool, theirs) == Imported(0, 2400)
    assert rows(Workspace().pool) == {**rows(theirs), **ours}
    assert "import: 2400/2400 images" in capsys.readouterr().err


def test_what_was_exported_can_be_imported(stocked: tuple[Recipe, Recipe], tmp_path: Path) -> None:
    out = tmp_path / "out.sqlite"
    with Pool(Workspace().pool) as pool:
        export_pool(pool, out, [])
        assert import_pool(pool, Workspace().pool) == Imported(0, 6)
    with Pool(tmp_path / "empty" / "pool.sqlite") as pool:
        assert import_pool(pool, out) == Imported(6, 0)
        assert pool.lacks(stocked[0], [Wanted("0", "bag", 0, range(3))]) == 0
    assert rows(tmp_path / "empty" / "pool.sqlite") == rows(Workspace().pool)


def test_images_of_many_prompts_and_scales_can_be_imported(recipe: Recipe, tmp_path: Path) -> None:
    sentences = PromptSet(("a {colour} {class}", "one {class}"), (("colour", ("red", "blue")),))
    varied = replace(recipe, prompts=sentences, guidance=(1.0, 1.5, 2.0), scheduler_options={"a": [1, None]}, quality=9)
    with Pool(tmp_path / "theirs.sqlite") as pool:
        put(pool, varied, "0", "bag", range(30))
        put(pool, varied, "common", "bag", range(30), retry=3)
    with Pool(Workspace().pool) as pool:
        assert import_pool(pool, tmp_path / "theirs.sqlite") == Imported(60, 0)
        specs = [one.spec for one in pool.fetch(varied, Wanted("0", "bag", 0, range(30)))]
    assert specs == [varied.spec("0", "bag", i) for i in range(30)]
    assert len({(spec.prompt, spec.guidance) for spec in specs}) > 4


def test_importing_leaves_the_file_as_it_was(stocked: tuple[Recipe, Recipe], tmp_path: Path) -> None:
    """Its checksum may be published."""
    out = tmp_path / "out" / "out.sqlite"
    with Pool(Workspace().pool) as pool:
        export_pool(pool, out, [])
    before = out.read_bytes()
    with Pool(tmp_path / "empty" / "pool.sqlite") as pool:
        import_pool(pool, out)
    assert out.read_bytes() == before
    assert list(out.parent.iterdir()) == [out]


def refused(path: Path, match: str) -> None:
    """Import a file into a pool with an image; check that it is refused in one line and nothing is imported."""
    before = everything(Workspace().pool)
    with Pool(Workspace().pool) as pool:
        with pytest.raises(PipelineError, match=match) as raised:
            import_pool(pool, path)
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
    """The fifth of five: the four before it are not imported either."""
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


@pytest.mark.parametrize("version", [0, 3])
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
        assert import_pool(pool, place) == Imported(4, 1)


def test_a_damaged_pool_is_refused(recipe: Recipe, theirs: Path) -> None:
    """Its images fail to be read at the end, when the others would be in."""
    with Pool(theirs) as pool:
        put(pool, recipe, "1", "bag", range(3_000), bytes(3_000))
        pool.db.execute("pragma wal_checkpoint(truncate)")
    content = theirs.read_bytes()
    theirs.write_bytes(content[: len(content) // 2] + b"\xff" * (len(content) - len(content) // 2))
    refused(theirs, ".")


def test_an_import_that_fails_imports_nothing(recipe: Recipe, theirs: Path) -> None:
    """SQLite gives up when so much work is done as the first two of three thousand images take."""
    with Pool(theirs) as pool:
        put(pool, recipe, "1", "bag", range(3_000))
    before = everything(Workspace().pool)
    with Pool(Workspace().pool) as pool:
        calls = itertools.count()
        pool.db.set_progress_handler(lambda: pool.db.total_changes > 2_500 and next(calls) >= 0, 10)
        with pytest.raises(PoolError, match="interrupted"):
            import_pool(pool, theirs)
        pool.db.set_progress_handler(None, 0)
        assert everything(Workspace().pool) == before
        assert import_pool(pool, theirs) == Imported(3004, 1)
