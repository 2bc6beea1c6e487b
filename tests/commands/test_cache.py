import os
import re
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.artifacts import partition
from pipeline.artifacts.holdings import Holdings
from pipeline.artifacts.inventory import Duplicates, Inventory, SplitInventory
from pipeline.artifacts.partition import Source
from pipeline.commands import cache
from pipeline.commands.cache import Collected, Part
from pipeline.data import arrays
from pipeline.errors import ArtifactError
from pipeline.generation.pool import Pool
from pipeline.workspace import Workspace
from tests.commands import stocked

DAY = 86_400
ARRAY_BYTES = 128 + 12 + 128 + 8 + 65
"""A picture of 2 x 2 pixels with its header, a label with its header, and a digest with a line break."""


def array(workspace: Workspace, name: str) -> Path:
    """Store one picture, and leave it unused."""
    return arrays.store(
        workspace.arrays, name, np.zeros(1, np.int64), 2, lambda: [np.zeros((1, 2, 2, 3), np.uint8)]
    ).path


def names(workspace: Workspace) -> list[str]:
    return [place.stem for place in arrays.listed(workspace.arrays)]


def left(place: Path, days: float, size: int = 10) -> Path:
    """Write a file that was changed last so many days ago."""
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(bytes(size))
    os.utime(place, (time.time() - days * DAY,) * 2)
    return place


def split(array: str) -> SplitInventory:
    return SplitInventory("train", array, 0, (), (), {}, {}, 0, ())


@pytest.fixture
def artifacts(workspace: Workspace) -> Workspace:
    """Artifacts that name the arrays train, test, transformed and those of the shards."""
    stocked.lacking(workspace, [0, 0, 1])
    found = partition.load(workspace.partition)
    replace(found, source=Source("train", 0)).save(workspace.partition)
    splits = split("train"), split("test")
    Inventory((), (), (), (), None, 16, "white", "skip", splits, Duplicates(0, 0, 0, 0, ())).save(workspace.inventory)
    rows = {"transforms": (np.zeros(1, np.int64),)}
    sources = {"transforms": Source("transformed", 1)}
    one = (1.0,) * 3
    each, counts = np.ones(1, np.int64), np.ones((1, 1), np.int64)
    held = Holdings("transforms", sources, rows, {"steps": each}, each, one, one, None, ("a",), 16, counts)
    held.save(workspace.fill("transforms"))
    return workspace


def test_an_empty_cache(workspace: Workspace) -> None:
    found = cache.stats(workspace)
    assert {(part.entries, part.disk_bytes) for part in found.parts} == {(0, 0)}
    assert {(part.entries, part.disk_bytes) for part in cache.gc(workspace, 3, dry_run=False).parts} == {(0, 0)}
    assert not any(workspace.cache.iterdir())


def test_every_file_of_the_cache_is_counted_once(workspace: Workspace) -> None:
    array(workspace, "first")
    array(workspace, "second")
    for place in ("runs/a.safetensors", "runs/b.safetensors", "checkpoints/c.safetensors", "results/d.json"):
        left(workspace.cache / place, days=0)
    for place in ("embeddings/e.parquet", "embeddings/e.lock"):
        left(workspace.cache / place, days=0)
    for place in ("pool.sqlite", "pool.lock", "digests.sqlite", "digests/x.json", "arrays/lost.labels.npy"):
        left(workspace.cache / place, days=0)
    left(workspace.cache / "runs/.e.safetensors.abcd_123", days=0)
    assert cache.stats(workspace).parts == (
        Part("arrays", 2, 2 * ARRAY_BYTES),
        Part("finished runs", 2, 20),
        Part("checkpoints", 1, 10),
        Part("files of embeddings", 2, 20),
        Part("files of the pool", 2, 20),
        Part("digests of files", 2, 20),
        Part("left by killed processes", 2, 20),
        Part("other files", 1, 10),
    )
    whole = sum(path.stat().st_size for path in workspace.cache.rglob("*") if path.is_file())
    assert sum(part.disk_bytes for part in cache.stats(workspace).parts) == whole


def test_arrays_that_the_workspace_does_not_use_are_deleted(artifacts: Workspace) -> None:
    """A dry run counts the same and deletes nothing; what this process uses stays."""
    for name in ("train", "test", "transformed", "old", "older", "busy"):
        array(artifacts, name)
    busy = arrays.find(artifacts.arrays, "busy", 2)
    done = Collected(
        (Part("arrays", 2, 2 * ARRAY_BYTES), Part("checkpoints", 0, 0), Part("left by killed processes", 0, 0)), 1
    )
    assert cache.gc(artifacts, None, dry_run=True) == done
    assert len(names(artifacts)) == 6
    assert cache.gc(artifacts, None, dry_run=False) == done
    assert names(artifacts) == ["busy", "test", "train", "transformed"]
    assert busy is not None
    assert not busy.pixels.any()


def test_the_array_of_the_shards_stays(artifacts: Workspace) -> None:
    _, plan = stocked.current(artifacts)
    with Pool(artifacts.pool) as pool:
        stocked.stock(pool, plan)
        made = stocked.written(artifacts, pool, plan, 1)
    name = arrays.synthetic_name(made, 16)
    array(artifacts, name)
    cache.gc(artifacts, None, dry_run=False)
    assert names(artifacts) == [name]


def test_checkpoints_of_finished_runs_and_old_leftovers_are_deleted(workspace: Workspace) -> None:
    for place in ("runs/a.safetensors", "checkpoints/a.safetensors", "checkpoints/b.safetensors"):
        left(workspace.cache / place, days=9)
    old = (
        "arrays/.x.npy.abcd_123",
        "checkpoints/.b.safetensors.12345678",
        "arrays/lost.sha256",
        ".pool.sqlite.aaaaaaaa",
        ".import-abcd_123/copy.sqlite",
    )
    for place in (*old, "arrays/.own", ".note"):
        left(workspace.cache / place, days=1.1)
    left(workspace.cache / "arrays/.y.npy.abcd_123", days=0.9)
    left(workspace.cache / "arrays/new.sha256", days=0.9)
    for dry_run in (True, False):
        assert cache.gc(workspace, None, dry_run).parts[1:] == (
            Part("checkpoints", 1, 10),
            Part("left by killed processes", 5, 50),
        )
    assert not (workspace.cache / ".import-abcd_123").exists()
    assert {str(path.relative_to(workspace.cache)) for path in workspace.cache.rglob("*") if path.is_file()} == {
        "runs/a.safetensors",
        "checkpoints/b.safetensors",
        "arrays/.own",
        ".note",
        "arrays/.y.npy.abcd_123",
        "arrays/new.sha256",
    }


def test_old_runs_embeddings_and_images_of_the_pool_go_if_asked(artifacts: Workspace) -> None:
    """Three images are planned; all are stored now, so only those of 0 days or more can go."""
    for place in (artifacts.runs / "x.safetensors", artifacts.embeddings / "x.parquet"):
        left(place.with_stem("old"), days=9)
        left(place.with_stem("new"), days=1)
    stocked.lacking(artifacts, [0, 0, 3])
    _, plan = stocked.current(artifacts)
    with Pool(artifacts.pool) as pool:
        stocked.stock(pool, plan)
    runs, embeddings, images = cache.gc(artifacts, 5, dry_run=False).parts[3:]
    assert (runs, embeddings) == (Part("finished runs", 1, 10), Part("files of embeddings", 1, 10))
    assert images == Part("images of the pool", 0, 0)
    assert [path.name for path in artifacts.runs.iterdir()] == ["new.safetensors"]
    assert [path.name for path in artifacts.embeddings.iterdir()] == ["new.parquet"]
    assert cache.gc(artifacts, 0, dry_run=True).parts[5] == Part("images of the pool", 3, 3 * stocked.IMAGE_BYTES)


def test_nothing_is_deleted_if_an_artifact_is_damaged(artifacts: Workspace) -> None:
    array(artifacts, "old")
    artifacts.inventory.write_text("{")
    with pytest.raises(ArtifactError, match=r"^damaged \(.*\): .*inventory.json: run: dvc repro -f partition$"):
        cache.gc(artifacts, None, dry_run=False)
    assert names(artifacts) == ["old"]


def test_what_cannot_be_deleted_is_one_line(workspace: Workspace) -> None:
    """A folder where a checkpoint should be; root may delete every file."""
    left(workspace.cache / "runs/a.safetensors", days=0)
    (workspace.checkpoints / "a.safetensors").mkdir(parents=True)
    array(workspace, "old")
    place = re.escape(str(workspace.checkpoints / "a.safetensors"))
    with pytest.raises(ArtifactError, match=rf"^cannot delete \(Is a directory\): {place}: check the rights$"):
        cache.gc(workspace, None, dry_run=False)
