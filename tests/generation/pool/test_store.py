import errno
import fcntl
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import closing
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import PoolError
from pipeline.generation.plan import Plan, Wanted
from pipeline.generation.pool import Pool, StoredImage
from pipeline.generation.prompts import PromptSet
from pipeline.generation.recipe import Recipe
from pipeline.workspace import Workspace

ROOT = Path(__file__).parents[3]
RECIPE = """
import os, signal, sys, time
from pathlib import Path
from pipeline.generation.plan import Wanted
from pipeline.generation.pool import StoredImage, Pool
from pipeline.generation.prompts import PromptSet
from pipeline.generation.recipe import Recipe
prompts = PromptSet(("a photo of a {class}",))
recipe = Recipe(7, "sha256:0", None, None, {}, 2, (2.0,), prompts, "", None, 16, "png", None, "float32", 4, False)
"""


def stored(recipe: Recipe, lane: str, name: str, indexes: range, retry: int = 0) -> list[StoredImage]:
    return [StoredImage(recipe.spec(lane, name, i, retry), f"{lane} {name} {i} {retry}".encode()) for i in indexes]


def script(text: str, *arguments: Path | str) -> list[str]:
    return [sys.executable, "-c", RECIPE + text, *map(str, arguments)]


def held(pool: Pool, recipe: Recipe, want: Wanted) -> int:
    return len(want.indices) - pool.lacks(recipe, [want])


def test_what_is_put_is_fetched_by_index(recipe: Recipe, cache: Path) -> None:
    made = [
        *stored(recipe, "0", "bag", range(2, 5)),
        *stored(recipe, "0", "bag", range(2), retry=1),
        *stored(recipe, "0", "coat", range(1)),
        *stored(recipe, "1", "bag", range(1)),
    ]
    with Pool(Workspace().pool) as pool:
        pool.put(recipe, made)
    assert Workspace().pool == cache / "pool.sqlite"
    with Pool(Workspace().pool) as pool:
        assert list(pool.fetch(recipe, Wanted("0", "bag", 1, range(5)))) == [*made[3:5], *made[:3]]
        assert list(pool.fetch(recipe, Wanted("0", "bag", 1, range(2)))) == made[3:5]
        assert list(pool.fetch(recipe, Wanted("1", "bag", 1, range(1)))) == [made[6]]
        assert list(pool.fetch(recipe, Wanted("2", "bag", 1, range(0)))) == []


def test_the_format_of_a_pool_stays(recipe: Recipe) -> None:
    """Other versions of gen-fedsd read pools of format 1, also if the fields of an image spec are moved."""
    with Pool(Workspace().pool) as pool:
        columns = pool.db.execute("select name, type, \"notnull\" from pragma_table_info('images')").fetchall()
        assert pool.db.execute("pragma user_version").fetchone() == (1,)
    assert columns == [
        ("recipe", "TEXT", 1),
        ("lane", "TEXT", 1),
        ("class_name", "TEXT", 1),
        ("index", "INTEGER", 1),
        ("retry", "INTEGER", 1),
        ("seed", "INTEGER", 1),
        ("guidance", "REAL", 1),
        ("prompt", "TEXT", 1),
        ("negative_prompt", "TEXT", 1),
        ("flags", "TEXT", 1),
        ("added", "INTEGER", 1),
        ("image", "BLOB", 1),
    ]


def test_a_gap_is_a_pool_error(recipe: Recipe) -> None:
    with Pool(Workspace().pool) as pool:
        pool.put(recipe, stored(recipe, "0", "bag", range(0, 2)))
        pool.put(recipe, stored(recipe, "0", "bag", range(3, 4)))
        for count, absent in ((4, 2), (3, 2), (9, 2)):
            with pytest.raises(PoolError, match=f"image {absent} of 'bag' in lane 0 is not in the pool: .*: run: dvc"):
                list(pool.fetch(recipe, Wanted("0", "bag", 1, range(count))))


def test_missing_and_lacks(recipe: Recipe) -> None:
    wants = [Wanted("0", "coat", 2, range(2)), Wanted("0", "bag", 1, range(4)), Wanted("1", "bag", 1, range(1))]
    with Pool(Workspace().pool) as pool:
        pool.put(recipe, [*stored(recipe, "0", "bag", range(1, 3)), *stored(recipe, "0", "bag", range(7, 8))])
        assert [pool.lacks(recipe, [want]) for want in wants] == [2, 2, 1]
        assert pool.lacks(recipe, iter(wants)) == 5
        assert pool.lacks(recipe, []) == 0
        expected = [("0", "coat", 0), ("0", "coat", 1), ("0", "bag", 0), ("0", "bag", 3), ("1", "bag", 0)]
        for given_as in (wants, tuple(wants), iter(wants)):
            missing = list(pool.missing(recipe, given_as))
            assert [(s.lane, s.class_name, s.index) for s in missing] == expected
            assert missing == [recipe.spec(*names) for names in expected]


RECIPE_HERE = Recipe(
    7, "m", None, None, {}, 2, (2.0,), PromptSet(("{class}",)), "", None, 16, "png", None, "f", 4, False
)
PLACES = list(product(("0", "1", "common"), ("bag", "coat")))


@settings(max_examples=60)
@given(
    st.permutations(PLACES),
    st.lists(st.integers(0, 4), min_size=6, max_size=6),
    st.sets(st.tuples(st.sampled_from(PLACES), st.integers(0, 5), st.booleans())),
)
def test_lacks_counts_what_missing_yields(
    order: list[tuple[str, str]], counts: list[int], there: set[tuple[tuple[str, str], int, bool]]
) -> None:
    """Lanes come in any order, also one after another and back; images of another recipe count for nothing."""
    mine = RECIPE_HERE
    recipes = {True: mine, False: replace(mine, steps=3)}
    wants = [Wanted(*place, 0, range(count)) for place, count in zip(order, counts, strict=True)]
    expected = [
        mine.spec(want.lane, want.class_name, i)
        for want in wants
        for i in want.indices
        if ((want.lane, want.class_name), i, True) not in there
    ]
    with tempfile.TemporaryDirectory() as folder, Pool(Path(folder) / "pool.sqlite") as pool:
        for chosen, recipe in recipes.items():
            specs = [recipe.spec(*place, i) for place, i, of_mine in there if of_mine == chosen]
            pool.put(recipe, [StoredImage(spec, b"x") for spec in specs])
        missing = list(pool.missing(mine, wants))
        assert missing == expected
        assert pool.lacks(mine, wants) == len(missing)


SETS = st.dictionaries(st.sampled_from(PLACES), st.sets(st.integers(0, 7)), min_size=1)


@settings(max_examples=60)
@given(SETS, SETS)
def test_index_sets_are_treated_as_sets(
    wanted: dict[tuple[str, str], set[int]], there: dict[tuple[str, str], set[int]]
) -> None:
    """Compared with sets: missing is the difference, held the intersection, and only whole sets can be fetched."""
    recipe = RECIPE_HERE
    sets = [Wanted(*place, 0, tuple(sorted(indices))) for place, indices in wanted.items()]
    in_lanes = sorted(sets, key=lambda one: one.lane)
    with tempfile.TemporaryDirectory() as folder, Pool(Path(folder) / "pool.sqlite") as pool:
        for (lane, name), indices in there.items():
            pool.put(recipe, [StoredImage(recipe.spec(lane, name, i), f"{lane} {name} {i}".encode()) for i in indices])
        for one, flags in pool.held(recipe, in_lanes):
            held = there.get((one.lane, one.class_name), set())
            assert [bool(flag) for flag in flags] == [index in held for index in one.indices]
            left = [spec.index for spec in pool.missing(recipe, [one])]
            assert left == sorted(set(one.indices) - held)
            assert pool.lacks(recipe, [one]) == len(left)
            found = list[int]()
            if left:
                with pytest.raises(PoolError, match=f"image {left[0]} of '{one.class_name}' in lane {one.lane} is not"):
                    found.extend(image.spec.index for image in pool.fetch(recipe, one))
            else:
                found.extend(image.spec.index for image in pool.fetch(recipe, one))
                assert found == list(one.indices)
            ((_, whole),) = pool.held(recipe, [replace(one, indices=range(8))])
            assert whole.count(1) == len(held)
        absent = [indices - there.get(place, set()) for place, indices in wanted.items()]
        assert pool.lacks(recipe, in_lanes) == sum(map(len, absent))


def test_data_sets_that_share_a_class_name_share_its_images(recipe: Recipe) -> None:
    """One calls label 1 a bag, the other says bag where its own class name, at label 0, is purse."""
    clothes = Plan(recipe, np.array([[0, 3]]), ("coat", "bag"), ("coat", "bag"), "own")
    things = Plan(recipe, np.array([[4, 1]]), ("purse", "cup"), ("bag", "cup"), "own")
    with Pool(Workspace().pool) as pool:
        pool.put(recipe, [StoredImage(spec, b"x") for spec in pool.missing(recipe, clothes.wanted())])
        missing = list(pool.missing(recipe, things.wanted()))
        assert [(spec.class_name, spec.index) for spec in missing] == [("bag", 3), ("cup", 0)]
        assert pool.lacks(recipe, things.wanted()) == 2


def test_recipes_do_not_mix(recipe: Recipe) -> None:
    other, want = replace(recipe, steps=3), Wanted("0", "bag", 1, range(1))
    with Pool(Workspace().pool) as pool:
        pool.put(recipe, stored(recipe, "0", "bag", range(1)))
        assert held(pool, other, want) == 0
        assert len(list(pool.missing(other, [want]))) == 1
        with pytest.raises(PoolError, match="image 0 of 'bag'"):
            list(pool.fetch(other, want))


def test_an_image_that_is_put_again_replaces_the_old_one(recipe: Recipe) -> None:
    want = Wanted("0", "bag", 1, range(1))
    with Pool(Workspace().pool) as pool:
        pool.put(recipe, stored(recipe, "0", "bag", range(1)))
        again = stored(recipe, "0", "bag", range(1), retry=2)
        pool.put(recipe, again)
        assert list(pool.fetch(recipe, want)) == again
        assert held(pool, recipe, want) == 1


def test_remarks_and_the_day_are_kept_with_an_image(recipe: Recipe) -> None:
    want, before = Wanted("0", "bag", 1, range(2)), int(time.time())
    images = [StoredImage(recipe.spec("0", "bag", 0), b"a", "faint"), StoredImage(recipe.spec("0", "bag", 1), b"b")]
    with Pool(Workspace().pool) as pool:
        pool.put(recipe, images)
        assert [one.flags for one in pool.fetch(recipe, want)] == ["faint", ""]
        days = [row[0] for row in pool.db.execute("select added from images")]
        assert all(before <= day <= time.time() for day in days)
        pool.db.execute("update images set added = 0")
        pool.put(recipe, images[:1])
        assert pool.db.execute('select "index" from images where added = 0').fetchall() == [(1,)]


def test_the_mean_size_is_of_one_recipes_images(recipe: Recipe) -> None:
    other = replace(recipe, steps=3)
    with Pool(Workspace().pool) as pool:
        assert pool.bytes_per_image(recipe) is None
        pool.put(recipe, [StoredImage(recipe.spec("0", "bag", i), bytes(100 * (i + 1))) for i in range(3)])
        pool.put(other, [StoredImage(other.spec("0", "bag", 0), bytes(7))])
        assert pool.bytes_per_image(recipe) == 200.0
        assert pool.bytes_per_image(other) == 7.0


def test_a_batch_that_cannot_be_stored_leaves_nothing(recipe: Recipe) -> None:
    good = stored(recipe, "0", "bag", range(2))
    bad = StoredImage(recipe.spec("0", "bag", 2), None)  # type: ignore[arg-type]  # breaks the not-null rule of the third row
    with Pool(Workspace().pool) as pool:
        with pytest.raises(sqlite3.IntegrityError):
            pool.put(recipe, [*good, bad])
        assert held(pool, recipe, Wanted("0", "bag", 1, range(3))) == 0
        pool.put(recipe, good)
        assert held(pool, recipe, Wanted("0", "bag", 1, range(3))) == 2


def test_a_writer_killed_in_mid_transaction_costs_its_batch_only(recipe: Recipe) -> None:
    """The second batch kills its own process when SQLite asks for the third image, after 4 MB of the batch are in."""
    killed = subprocess.run(
        script(
            "class Fatal:\n"
            "    def __conform__(self, protocol): os.kill(os.getpid(), signal.SIGKILL)\n"
            "with Pool(Path(sys.argv[1])) as pool, pool.writing():\n"
            "    pool.put(recipe, [StoredImage(recipe.spec('0', 'bag', i), bytes([i])) for i in range(2)])\n"
            "    large = [StoredImage(recipe.spec('0', 'bag', i), bytes(2_000_000)) for i in (2, 3)]\n"
            "    pool.put(recipe, [*large, StoredImage(recipe.spec('0', 'bag', 4), Fatal())])\n",
            Workspace().pool,
        ),
        cwd=ROOT,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    want = Wanted("0", "bag", 1, range(5))
    with Pool(Workspace().pool) as pool, pool.writing():
        assert held(pool, recipe, want) == 2
        assert [one.image for one in pool.fetch(recipe, replace(want, indices=range(2)))] == [b"\x00", b"\x01"]
        pool.put(recipe, stored(recipe, "0", "bag", range(2, 5)))
        assert held(pool, recipe, want) == 5
    with sqlite3.connect(Workspace().pool) as database:
        assert database.execute("pragma integrity_check").fetchone() == ("ok",)
    database.close()


def test_a_second_writer_waits_says_so_and_then_writes(recipe: Recipe) -> None:
    """It says that it waits before it blocks, so once the line is read it is known to be waiting."""
    text = (
        "with Pool(Path(sys.argv[1])) as pool, pool.writing():\n"
        "    pool.put(recipe, [StoredImage(recipe.spec('0', 'bag', 0), b'second')])\n"
        "print('done')\n"
    )
    want = Wanted("0", "bag", 1, range(1))
    with Pool(Workspace().pool) as pool:
        with pool.writing():
            second = subprocess.Popen(
                script(text, Workspace().pool), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
            assert second.stderr is not None
            line = second.stderr.readline()
            assert line == f"waiting for another run that is writing the pool {Workspace().pool}\n"
            pool.put(recipe, [StoredImage(recipe.spec("0", "bag", 0), b"first")])
            assert second.poll() is None
            assert [one.image for one in pool.fetch(recipe, want)] == [b"first"]
        assert second.communicate(timeout=300)[0] == "done\n"
        assert second.returncode == 0
        assert [one.image for one in pool.fetch(recipe, want)] == [b"second"]


def test_a_killed_writer_leaves_no_lock_behind(recipe: Recipe) -> None:
    text = "with Pool(Path(sys.argv[1])) as pool, pool.writing():\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    assert subprocess.run(script(text, Workspace().pool), cwd=ROOT, check=False).returncode == -signal.SIGKILL
    descriptor = os.open(Workspace().pool.with_suffix(".lock"), os.O_RDWR)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(descriptor)


def test_a_lock_that_cannot_be_opened_is_a_pool_error(recipe: Recipe) -> None:
    """Also for root, whom no rights keep out, a folder is no lock file."""
    place = Workspace().pool.with_suffix(".lock")
    with Pool(Workspace().pool) as pool:
        place.mkdir()
        with (
            pytest.raises(PoolError, match=r"cannot use the pool \(.*Is a directory.*: set GEN_FEDSD_CACHE"),
            pool.writing(),
        ):
            pass
        place.rmdir()
        with pool.writing():
            pool.put(recipe, stored(recipe, "0", "bag", range(1)))


def test_a_file_system_without_locks_is_a_pool_error(recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    """None can be had here, so the system's answer is given in its place."""

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    with Pool(Workspace().pool) as pool:
        monkeypatch.setattr(fcntl, "flock", refuse)
        with (
            pytest.raises(PoolError, match=r"cannot use the pool \(.*No locks available.*: set GEN_FEDSD_CACHE"),
            pool.writing(),
        ):
            pass


def test_an_error_of_the_block_that_writes_is_not_blamed_on_the_lock(recipe: Recipe) -> None:
    with Pool(Workspace().pool) as pool, pytest.raises(FileNotFoundError), pool.writing():
        Path("nowhere/at/all").read_bytes()
    with Pool(Workspace().pool) as pool, pool.writing():
        pass


def test_readers_do_not_wait_for_a_writer(recipe: Recipe) -> None:
    want = Wanted("0", "bag", 1, range(1))
    with Pool(Workspace().pool) as pool, pool.writing():
        pool.put(recipe, stored(recipe, "0", "bag", range(1)))
        text = "with Pool(Path(sys.argv[1])) as pool: print(pool.lacks(recipe, [Wanted('0', 'bag', 1, range(2))]))\n"
        reader = subprocess.run(
            script(text, Workspace().pool), cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True, timeout=300
        )
        assert reader.stdout == "1\n"
        assert held(pool, recipe, want) == 1


def test_a_file_that_is_no_pool_is_a_pool_error(tmp_path: Path) -> None:
    path = tmp_path / "pool.sqlite"
    path.write_bytes(b"not a database" * 100)
    with pytest.raises(PoolError, match=f"cannot use the pool .*{path}: set GEN_FEDSD_CACHE to a folder"):
        Pool(path)
    (tmp_path / "file").write_text("")
    with pytest.raises(PoolError, match="cannot use the pool"):
        Pool(tmp_path / "file" / "pool.sqlite")


def test_damage_behind_the_first_page_is_a_pool_error(recipe: Recipe) -> None:
    want = Wanted("0", "bag", 1, range(50))
    with Pool(Workspace().pool) as pool:
        pool.put(recipe, [StoredImage(spec, bytes(5_000)) for spec in pool.missing(recipe, [want])])
    content = Workspace().pool.read_bytes()
    Workspace().pool.write_bytes(content[:4096] + b"\xff" * (len(content) - 4096))
    with pytest.raises(PoolError, match=str(Workspace().pool)), Pool(Workspace().pool) as pool:
        list(pool.fetch(recipe, want))


@pytest.mark.parametrize("version", [0, 3])
def test_a_pool_of_another_format_is_refused_and_left_alone(recipe: Recipe, version: int) -> None:
    with Pool(Workspace().pool) as pool:
        pool.put(recipe, stored(recipe, "0", "bag", range(1)))
    with closing(sqlite3.connect(Workspace().pool)) as database:
        database.execute(f"pragma user_version = {version}")
    before = Workspace().pool.read_bytes()
    with pytest.raises(
        PoolError, match=f"has format {version}, .* reads formats 1 and 2: {Workspace().pool}: move the"
    ) as raised:
        Pool(Workspace().pool)
    assert "\n" not in str(raised.value)
    assert Workspace().pool.read_bytes() == before
    assert list(Workspace().pool.parent.iterdir()) == [Workspace().pool]


def together(*threads: threading.Thread) -> None:
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_one_thread_puts_while_another_reads(recipe: Recipe) -> None:
    """The reader sees images come and none go, and never a wrong one."""
    want = Wanted("0", "bag", 1, range(900))
    errors, seen = list[Exception](), list[int]()
    with Pool(Workspace().pool) as pool:

        def put() -> None:
            try:
                for start in range(0, len(want.indices), 3):
                    pool.put(recipe, stored(recipe, "0", "bag", range(start, start + 3)))
            except Exception as error:
                errors.append(error)

        writer = threading.Thread(target=put)
        writer.start()
        while writer.is_alive():
            seen.append(held(pool, recipe, want))
            there = replace(want, indices=range(seen[-1]))
            assert [one.image for one in pool.fetch(recipe, there)] == [
                f"0 bag {i} 0".encode() for i in range(seen[-1])
            ]
        writer.join()
        assert errors == []
        assert held(pool, recipe, want) == 900
    assert seen == sorted(seen)
    assert any(0 < count < 900 for count in seen)


def test_two_threads_put(recipe: Recipe) -> None:
    errors = list[Exception]()
    with Pool(Workspace().pool) as pool:

        def put(lane: str) -> None:
            try:
                for start in range(0, 600, 3):
                    pool.put(recipe, stored(recipe, lane, "bag", range(start, start + 3)))
            except Exception as error:
                errors.append(error)

        together(*(threading.Thread(target=put, args=(lane,)) for lane in ("0", "1")))
        assert errors == []
        assert pool.lacks(recipe, [Wanted("0", "bag", 1, range(600)), Wanted("1", "bag", 1, range(600))]) == 0


def test_two_processes_that_write_take_turns_and_lose_nothing(recipe: Recipe, tmp_path: Path) -> None:
    """A file that only one of them can make at a time shows that no other has the right to write."""
    text = (
        "place, lane, turn = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])\n"
        "for start in range(0, 200, 5):\n"
        "    with Pool(place) as pool, pool.writing():\n"
        "        turn.open('x').close()\n"
        "        pool.put(recipe, [StoredImage(recipe.spec(lane, 'bag', i), b'x') for i in range(start, start + 5)])\n"
        "        turn.unlink()\n"
    )
    writers = [
        subprocess.Popen(script(text, Workspace().pool, lane, tmp_path / "turn"), cwd=ROOT, stderr=subprocess.DEVNULL)
        for lane in ("0", "1")
    ]
    assert [writer.wait(timeout=120) for writer in writers] == [0, 0]
    with Pool(Workspace().pool) as pool:
        assert pool.lacks(recipe, [Wanted("0", "bag", 1, range(200)), Wanted("1", "bag", 1, range(200))]) == 0


def test_two_processes_may_make_the_same_pool(recipe: Recipe, tmp_path: Path) -> None:
    """The second opens each of 50 pools while the first makes it, at another moment each."""
    text = (
        "for i in range(50):\n"
        "    path, ready = Path(sys.argv[1]) / str(i), Path(sys.argv[1]) / f'{i}.ready'\n"
        "    if sys.argv[2] == 'second':\n"
        "        ready.touch()\n"
        "    file = path if sys.argv[2] == 'second' else ready\n"
        "    while not file.exists(): pass\n"
        "    until = time.perf_counter() + i * 1e-4\n"
        "    while sys.argv[2] == 'second' and time.perf_counter() < until: pass\n"
        "    Pool(path).db.close()\n"
    )
    with subprocess.Popen(script(text, tmp_path, "first"), cwd=ROOT) as first:
        try:
            second = subprocess.run(
                script(text, tmp_path, "second"), cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
            )
            assert (second.returncode, second.stderr) == (0, "")
            assert first.wait(timeout=300) == 0
        finally:
            first.kill()
    for i in range(50):
        with Pool(tmp_path / str(i)) as pool:
            pool.put(recipe, stored(recipe, "0", "bag", range(1)))
