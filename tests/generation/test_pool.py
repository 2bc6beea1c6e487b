import fcntl
import os
import signal
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline import paths
from pipeline.errors import PoolError
from pipeline.generation.plan import Want
from pipeline.generation.pool import Finished, Pool
from pipeline.generation.recipe import Recipe

ROOT = Path(__file__).parents[2]
RECIPE = """
import os, signal, sys
from pathlib import Path
from pipeline.generation.plan import Want
from pipeline.generation.pool import Finished, Pool
from pipeline.generation.recipe import Recipe
recipe = Recipe(7, "sha256:0", None, None, {}, 2, 2.0, "a photo of a {class}", "", None, 16, "float32", 4)
"""


def finished(recipe: Recipe, lane: str, name: str, indexes: range, retry: int = 0) -> list[Finished]:
    return [Finished(recipe.spec(lane, name, i, retry), f"{lane} {name} {i} {retry}".encode()) for i in indexes]


def script(text: str, place: Path) -> list[str]:
    return [sys.executable, "-c", RECIPE + text, str(place)]


def test_what_is_put_is_fetched_by_index(recipe: Recipe, cache: Path) -> None:
    made = [
        *finished(recipe, "0", "bag", range(2, 5)),
        *finished(recipe, "0", "bag", range(2), retry=1),
        *finished(recipe, "0", "coat", range(1)),
        *finished(recipe, "1", "bag", range(1)),
    ]
    with Pool(paths.pool()) as pool:
        pool.put(recipe, made)
    assert paths.pool() == cache / "pool.sqlite"
    with Pool(paths.pool()) as pool:
        assert list(pool.fetch(recipe, Want("0", "bag", 1, 5))) == [*made[3:5], *made[:3]]
        assert list(pool.fetch(recipe, Want("0", "bag", 1, 2))) == made[3:5]
        assert list(pool.fetch(recipe, Want("1", "bag", 1, 1))) == [made[6]]
        assert list(pool.fetch(recipe, Want("2", "bag", 1, 0))) == []


def test_a_gap_is_a_pool_error(recipe: Recipe) -> None:
    with Pool(paths.pool()) as pool:
        pool.put(recipe, finished(recipe, "0", "bag", range(0, 2)))
        pool.put(recipe, finished(recipe, "0", "bag", range(3, 4)))
        for count, absent in ((4, 2), (3, 2), (9, 2)):
            with pytest.raises(PoolError, match=f"image {absent} of 'bag' in lane 0 is not in the pool: .*: run: dvc"):
                list(pool.fetch(recipe, Want("0", "bag", 1, count)))


def test_missing_and_held(recipe: Recipe) -> None:
    wants = [Want("0", "coat", 2, 2), Want("0", "bag", 1, 4), Want("1", "bag", 1, 1)]
    with Pool(paths.pool()) as pool:
        pool.put(recipe, [*finished(recipe, "0", "bag", range(1, 3)), *finished(recipe, "0", "bag", range(7, 8))])
        assert [pool.held(recipe, want) for want in wants] == [0, 2, 0]
        expected = [("0", "coat", 0), ("0", "coat", 1), ("0", "bag", 0), ("0", "bag", 3), ("1", "bag", 0)]
        missing = list(pool.missing(recipe, iter(wants)))
        assert [(s.lane, s.class_name, s.index) for s in missing] == expected
        assert missing == [recipe.spec(*names) for names in expected]


def test_recipes_do_not_mix(recipe: Recipe) -> None:
    other, want = replace(recipe, steps=3), Want("0", "bag", 1, 1)
    with Pool(paths.pool()) as pool:
        pool.put(recipe, finished(recipe, "0", "bag", range(1)))
        assert pool.held(other, want) == 0
        assert len(list(pool.missing(other, iter([want])))) == 1
        pool.record_rate(recipe, 2.5)
        pool.record_rate(recipe, 3.5)
        assert (pool.rate(recipe), pool.rate(other)) == (3.5, None)


def test_an_image_that_is_put_again_replaces_the_old_one(recipe: Recipe) -> None:
    want = Want("0", "bag", 1, 1)
    with Pool(paths.pool()) as pool:
        pool.put(recipe, finished(recipe, "0", "bag", range(1)))
        again = finished(recipe, "0", "bag", range(1), retry=2)
        pool.put(recipe, again)
        assert list(pool.fetch(recipe, want)) == again
        assert pool.held(recipe, want) == 1


def test_a_batch_that_cannot_be_stored_leaves_nothing(recipe: Recipe) -> None:
    good = finished(recipe, "0", "bag", range(2))
    bad = Finished(recipe.spec("0", "bag", 2), None)  # type: ignore[arg-type]  # breaks the not-null rule of the third row
    with Pool(paths.pool()) as pool:
        with pytest.raises(sqlite3.IntegrityError):
            pool.put(recipe, [*good, bad])
        assert pool.held(recipe, Want("0", "bag", 1, 3)) == 0
        pool.put(recipe, good)
        assert pool.held(recipe, Want("0", "bag", 1, 3)) == 2


def test_a_writer_killed_in_mid_transaction_costs_its_batch_only(recipe: Recipe) -> None:
    """The second batch kills its own process when SQLite asks for the third image, after 4 MB of the batch are in."""
    killed = subprocess.run(
        script(
            "class Fatal:\n"
            "    def __conform__(self, protocol): os.kill(os.getpid(), signal.SIGKILL)\n"
            "with Pool(Path(sys.argv[1])) as pool, pool.writing():\n"
            "    pool.put(recipe, [Finished(recipe.spec('0', 'bag', i), bytes([i])) for i in range(2)])\n"
            "    large = [Finished(recipe.spec('0', 'bag', i), bytes(2_000_000)) for i in (2, 3)]\n"
            "    pool.put(recipe, [*large, Finished(recipe.spec('0', 'bag', 4), Fatal())])\n",
            paths.pool(),
        ),
        cwd=ROOT,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    want = Want("0", "bag", 1, 5)
    with Pool(paths.pool()) as pool, pool.writing():
        assert pool.held(recipe, want) == 2
        assert [one.image for one in pool.fetch(recipe, replace(want, count=2))] == [b"\x00", b"\x01"]
        pool.put(recipe, finished(recipe, "0", "bag", range(2, 5)))
        assert pool.held(recipe, want) == 5
    with sqlite3.connect(paths.pool()) as database:
        assert database.execute("pragma integrity_check").fetchone() == ("ok",)
    database.close()


def test_a_second_writer_waits_says_so_and_then_writes(recipe: Recipe) -> None:
    """It says that it waits before it blocks, so once the line is read it is known to be waiting."""
    text = (
        "with Pool(Path(sys.argv[1])) as pool, pool.writing():\n"
        "    pool.put(recipe, [Finished(recipe.spec('0', 'bag', 0), b'second')])\n"
        "print('done')\n"
    )
    want = Want("0", "bag", 1, 1)
    with Pool(paths.pool()) as pool:
        with pool.writing():
            second = subprocess.Popen(
                script(text, paths.pool()), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
            assert second.stderr is not None
            line = second.stderr.readline()
            assert line == f"waiting for another run that is writing the pool {paths.pool()}\n"
            pool.put(recipe, [Finished(recipe.spec("0", "bag", 0), b"first")])
            assert second.poll() is None
            assert [one.image for one in pool.fetch(recipe, want)] == [b"first"]
        assert second.communicate(timeout=60)[0] == "done\n"
        assert second.returncode == 0
        assert [one.image for one in pool.fetch(recipe, want)] == [b"second"]


def test_a_killed_writer_leaves_no_lock_behind(recipe: Recipe) -> None:
    text = "with Pool(Path(sys.argv[1])) as pool, pool.writing():\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    assert subprocess.run(script(text, paths.pool()), cwd=ROOT, check=False).returncode == -signal.SIGKILL
    descriptor = os.open(paths.pool().with_suffix(".lock"), os.O_RDWR)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(descriptor)


def test_readers_do_not_wait_for_a_writer(recipe: Recipe) -> None:
    want = Want("0", "bag", 1, 1)
    with Pool(paths.pool()) as pool, pool.writing():
        pool.put(recipe, finished(recipe, "0", "bag", range(1)))
        text = "with Pool(Path(sys.argv[1])) as pool: print(pool.held(recipe, Want('0', 'bag', 1, 1)))\n"
        reader = subprocess.run(
            script(text, paths.pool()), cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True, timeout=60
        )
        assert reader.stdout == "1\n"
        assert pool.held(recipe, want) == 1


def test_a_file_that_is_no_pool_is_a_pool_error(tmp_path: Path) -> None:
    path = tmp_path / "pool.sqlite"
    path.write_bytes(b"not a database" * 100)
    with pytest.raises(PoolError, match=f"cannot use the pool .*{path}: set GEN_FEDSD_CACHE to a folder"):
        Pool(path)
    (tmp_path / "file").write_text("")
    with pytest.raises(PoolError, match="cannot use the pool"):
        Pool(tmp_path / "file" / "pool.sqlite")


def test_damage_behind_the_first_page_is_a_pool_error(recipe: Recipe) -> None:
    want = Want("0", "bag", 1, 50)
    with Pool(paths.pool()) as pool:
        pool.put(recipe, [Finished(spec, bytes(5_000)) for spec in pool.missing(recipe, iter([want]))])
    content = paths.pool().read_bytes()
    paths.pool().write_bytes(content[:4096] + b"\xff" * (len(content) - 4096))
    with pytest.raises(PoolError, match=str(paths.pool())), Pool(paths.pool()) as pool:
        list(pool.fetch(recipe, want))
