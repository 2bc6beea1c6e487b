import os
import time
from dataclasses import replace

import numpy as np
import pytest

from pipeline.artifacts.history import Participation, Round
from pipeline.commands import runs
from pipeline.errors import ParameterError
from pipeline.federated.algorithm import LocalSettings
from pipeline.federated.algorithms.fedavg import FedAvg
from pipeline.federated.local import Normalisation
from pipeline.federated.runs import RunStore, digest
from pipeline.federated.simulation import Client, Run, RunState, Schedule
from pipeline.workspace import Workspace

DAY = 86_400
BASE = Run(
    clients=(Client(3, 1),),
    images="",
    normalisation=Normalisation((1.0,) * 3, (1.0,) * 3),
    algorithm=FedAvg(),
    model="simple-cnn",
    norm="group",
    image_size=16,
    tests=(1, 1),
    settings=LocalSettings(2, 0.0, 0.0),
    schedule=Schedule(0.1, "constant"),
    rounds=1,
    clients_per_round=None,
    eval_every=1,
    stop_at=None,
    seed=0,
)
RUNS = [replace(BASE, seed=seed) for seed in range(3)]


@pytest.fixture
def kept(workspace: Workspace) -> list[str]:
    """Three runs in the store, used 30, 20 and 10 days ago; their digests."""
    store = RunStore(workspace.runs)
    end = RunState({"weights": np.ones(4, np.float32)}, {}, [Round(1, (Participation(0, 3, 1, 16, 16),), 0.5, 1.0)])
    for age, run in zip((30, 20, 10), RUNS, strict=True):
        store.keep(run, end, f"train none fedavg epochs, seed {run.seed}", 1.0)
        moment = time.time() - age * DAY
        os.utime(workspace.runs / f"{digest(run)}.safetensors", (moment, moment))
    return [digest(run) for run in RUNS]


def left(workspace: Workspace) -> list[str]:
    return [entry.digest for entry in runs.list_runs(workspace)]


def test_a_store_that_is_not_there_is_empty(workspace: Workspace) -> None:
    assert runs.stats(workspace) == runs.Stats(workspace.runs, 0, 0)
    assert runs.list_runs(workspace) == []
    assert runs.gc(workspace, [], 0.0, dry_run=False) == runs.Collected(0, 0)


def test_stats_and_list(workspace: Workspace, kept: list[str]) -> None:
    size = sum(path.stat().st_size for path in workspace.runs.iterdir())
    assert runs.stats(workspace) == runs.Stats(workspace.runs, 3, size)
    assert left(workspace) == kept
    assert [entry.title for entry in runs.list_runs(workspace)] == [
        f"train none fedavg epochs, seed {seed}" for seed in range(3)
    ]


@pytest.mark.parametrize(
    ("chosen", "older_than", "gone"),
    [
        ([0], None, [0]),
        ([2, 0], None, [0, 2]),
        ([], 15.0, [0, 1]),
        ([0, 2], 15.0, [0]),
        ([], 40.0, []),
        ([], 0.0, [0, 1, 2]),
    ],
)
def test_gc_deletes_what_is_chosen_and_old(
    workspace: Workspace, kept: list[str], chosen: list[int], older_than: float | None, gone: list[int]
) -> None:
    """A dry run counts the same and deletes nothing."""
    named = [kept[i][:12] for i in chosen]
    each = runs.list_runs(workspace)[0].disk_bytes
    expected = runs.Collected(len(gone), each * len(gone))
    assert runs.gc(workspace, named, older_than, dry_run=True) == expected
    assert left(workspace) == kept
    assert runs.gc(workspace, named, older_than, dry_run=False) == expected
    assert left(workspace) == [name for i, name in enumerate(kept) if i not in gone]


def test_a_choice_that_names_no_run_or_several_is_refused(workspace: Workspace, kept: list[str]) -> None:
    for beginning in ("zz", ""):
        with pytest.raises(ParameterError, match=rf"^[03] runs have a digest that begins with '{beginning}'"):
            runs.gc(workspace, [beginning], None, dry_run=False)
    with pytest.raises(ParameterError, match=r"^nothing chosen: gen-fedsd runs gc: give --run, --older-than, or both$"):
        runs.gc(workspace, [], None, dry_run=False)
    assert left(workspace) == kept
