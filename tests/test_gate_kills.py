"""A gated ``generate`` that is killed at random moments leaves, when it may end, what an undisturbed one leaves."""

import os
import random
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from pipeline import params
from pipeline.stages import deficits, generate, partition
from pipeline.workspace import Workspace
from tests import gated
from tests.test_kills import POLL, Warm

KILLS = 4


@pytest.fixture
def original(project: Path, small_data: Path, tiny_model: Path, tmp_path: Path) -> Workspace:
    """An undisturbed run in another folder, and the same project without images as the working folder."""
    document = gated.document(small_data, tiny_model, gated.judge(tmp_path / "judge", tiny_model))
    loaded = gated.write(Workspace(), document)
    partition.run(Workspace(), loaded)
    deficits.run(Workspace(), loaded)
    return gated.project(tmp_path / "undisturbed", document)


@pytest.fixture
def warm(original: Workspace, tmp_path: Path) -> Iterator[Warm]:
    Path("pipeline").symlink_to(Path(__file__).parents[1] / "pipeline")
    made = Warm(tmp_path / "said.txt")
    yield made
    made.close()
    print((tmp_path / "said.txt").read_text())


def rows(pool: Path, table: str, columns: str) -> set[tuple[Any, ...]]:
    """Return what a table of the pool holds; nothing if there is no such table yet."""
    if not pool.is_file():
        return set()
    with closing(sqlite3.connect(pool, timeout=60)) as database, suppress(sqlite3.OperationalError):
        return set(database.execute(f"select {columns} from {table}"))
    return set()


def images(pool: Path) -> set[tuple[Any, ...]]:
    return rows(pool, "images", 'recipe, lane, class_name, "index", retry, seed, image')


def scores(pool: Path) -> set[tuple[Any, ...]]:
    return rows(pool, "scores", "*")


def test_kills_lose_nothing_and_change_nothing(original: Workspace, warm: Warm) -> None:
    """Each run is killed when it has stored some images, or some scores, more than the last one; then one may end."""
    pool, rng = Workspace().pool, random.Random(4)
    all_images, all_scores = images(original.pool), scores(original.pool)
    assert len(all_images) == len(all_scores) > 40
    phases = list[str]()
    for number in range(KILLS):
        of, whole = ((images, all_images), (scores, all_scores))[number % 2]
        before = len(of(pool))
        enough = before + rng.randint(1, max(1, (len(whole) - before) // 3))
        process = warm.start()
        while not (ended := warm.ended(POLL)) and len(of(pool)) < enough:
            pass
        if not ended:
            os.kill(process, signal.SIGKILL)
        assert warm.code() in (0, -signal.SIGKILL)
        assert images(pool) <= all_images
        assert scores(pool) <= all_scores
        assert len(of(pool)) >= before
        phases.append("ended" if ended else "killed")
        print(f"{phases[-1]} with {len(images(pool))} images and {len(scores(pool))} scores")
    assert phases.count("killed") >= 3
    assert not Workspace().manifest.exists() or gated.contents(Workspace()) == gated.contents(original)
    generate.run(Workspace(), params.load(Workspace().params), ["cpu"])
    assert gated.contents(Workspace()) == gated.contents(original)
    assert (images(pool), scores(pool)) == (all_images, all_scores)
