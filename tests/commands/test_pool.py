import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.generation.pool import Pool
from pipeline.generation.recipe import Recipe
from pipeline.workspace import Workspace
from tests.generation.conftest import small_recipe
from tests.generation.pool.contents import everything, rows, two_recipes

ROOT = Path(__file__).parents[2]


@pytest.fixture
def stocked() -> tuple[Recipe, Recipe]:
    """The recipes of a pool that holds three images of each: of 10 days, of 2 days and of now."""
    return two_recipes(small_recipe())


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
        (["gc", "--recipe", "xyz"], "no recipes in the pool start with this: --recipe xyz: gen-fedsd pool list shows"),
        (["gc", "--older-than", "-1"], "Invalid value for '--older-than'"),
        (["gc", "--older-than", "many"], "Invalid value for '--older-than'"),
        (["export"], "Missing argument 'out'"),
        (["export", "out.sqlite", "--recipe", "xyz"], "no recipes in the pool start with this: --recipe xyz"),
        (["export", "POOL"], "that is the pool itself"),
        (["export", "FOLDER"], "FOLDER"),
        (["import"], "Missing argument 'file'"),
        (
            ["import", "nowhere.sqlite"],
            "no such file: nowhere.sqlite: give a folder of shards, a pool, or what",
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
        pool.db.execute("pragma user_version = 3")
    for arguments in (["stats"], ["list"], ["gc", "--older-than", "1"], ["export", tmp_path / "x"], ["import", "x"]):
        done = run(*arguments)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
        assert "error: this pool has format 3, and this version of gen-fedsd reads formats 1 and 2: " in done.stderr
