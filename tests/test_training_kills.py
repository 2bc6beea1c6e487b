"""The ``train`` stage leaves the same bytes whenever it is killed and started again."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from pipeline.federated.experiment import Crew
from safetensors import safe_open

from pipeline import params, paths
from pipeline.errors import ArtifactError
from pipeline.params import Params
from pipeline.stages import deficits, generate, partition, train

ROOT = Path(__file__).parent.parent
KILLS = 3
ROUNDS = 150


@pytest.fixture
def work(project: Path, document: dict[str, Any]) -> Params:
    """A project that only lacks its training: two runs of 150 short rounds, whose clients keep something."""
    Path("pipeline").symlink_to(ROOT / "pipeline")
    document["deficits"] |= {"ratio": 0.0}
    document["train"] |= {"seeds": [1, 2], "rounds": ROUNDS, "clients_per_round": 2, "eval_every": 10}
    Path("params.yaml").write_text(yaml.safe_dump(document))
    made = params.load()
    partition.run(made)
    deficits.run(made)
    generate.run(made, ["cpu"])
    return made


def products(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def kept() -> dict[str, int]:
    """Return after how many rounds each run was kept, by the name of its file."""
    found = {}
    for path in (paths.cache() / "checkpoints").glob("[!.]*"):
        with safe_open(path, "numpy") as file:
            found[path.name] = file.metadata()["rounds"].count('"number"')
    return found


def start(workers: int) -> subprocess.Popen[str]:
    options = ["--fill", "none", "--algorithm", "scaffold", "--checkpoint-every", "1", "--workers", str(workers)]
    command = [sys.executable, "-m", "pipeline", "train", *options]
    with Path("said.txt").open("w") as said:
        return subprocess.Popen(command, stdout=said, stderr=said, text=True, start_new_session=True)


def kill_while_it_trains(process: subprocess.Popen[str], pause: float) -> None:
    """Kill it so many seconds after it has kept something."""
    before, deadline = kept(), time.monotonic() + 120
    while kept() == before:
        assert process.poll() is None, Path("said.txt").read_text()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    time.sleep(pause)
    assert process.poll() is None, "it ended before it was killed"
    process.kill()
    process.wait()


@pytest.mark.parametrize("workers", [1, 2])
def test_training_that_is_killed_again_and_again_ends_the_same(work: Params, workers: int) -> None:
    """Killed three times, it goes on each time from where it stood, and leaves what it leaves undisturbed."""
    train.run(work, "none", "scaffold", Crew(1))
    folder = paths.run("none", "scaffold")
    expected = products(folder)
    assert set(expected) == {
        "history.csv",
        "classes.csv",
        "clients.csv",
        "metrics.json",
        *(f"weights/both-{seed}.safetensors" for seed in (1, 2)),
    }
    shutil.rmtree(folder)
    draw = random.Random(workers)
    stood = dict[str, int]()
    for _ in range(KILLS):
        process = start(workers)
        try:
            kill_while_it_trains(process, draw.uniform(0, 0.3))
        finally:
            end(process)
        now = kept()
        assert sum(now.values()) > sum(stood.values())
        assert all(now[name] >= rounds for name, rounds in stood.items())
        assert not folder.exists()
        stood = now
    assert 0 < min(stood.values()) < ROUNDS
    process = start(workers)
    try:
        process.wait(timeout=300)
    finally:
        end(process)
    said = Path("said.txt").read_text()
    assert process.returncode == 0, said
    assert "damaged" not in said
    assert products(folder) == expected
    assert kept() == {}


def test_results_that_cannot_be_saved_cost_no_round(work: Params, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder is in the way of the last file; when it is gone, only the test of the last round is left to do."""
    obstacle = paths.run("none", "fedavg") / "weights" / "both-2.safetensors"
    (obstacle / "not empty").mkdir(parents=True)
    with pytest.raises(ArtifactError, match="cannot write"):
        train.run(work, "none", "fedavg", Crew(1, checkpoint_every=40))
    assert list(kept().values()) == [ROUNDS, ROUNDS]
    assert f"{2 * ROUNDS}/{2 * ROUNDS} rounds" in capsys.readouterr().err
    shutil.rmtree(obstacle)
    train.run(work, "none", "fedavg", Crew(1, checkpoint_every=40))
    assert "rounds" not in capsys.readouterr().err
    assert kept() == {}
    found = products(paths.run("none", "fedavg"))
    shutil.rmtree(paths.run("none", "fedavg"))
    train.run(work, "none", "fedavg", Crew(1))
    assert products(paths.run("none", "fedavg")) == found


@pytest.mark.parametrize(("workers", "pause"), [(1, 0), (2, 0), (2, 0.07), (2, 0.15)])
def test_ctrl_c_ends_training_with_one_line_that_is_true_of_it(work: Params, workers: int, pause: float) -> None:
    """A terminal sends it to the workers too, whatever they are doing; they say nothing."""
    process = start(workers)
    try:
        deadline = time.monotonic() + 120
        while not kept():
            assert process.poll() is None, Path("said.txt").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.01)
        time.sleep(pause)
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(timeout=60) == 130
    finally:
        end(process)
    said = Path("said.txt").read_text()
    assert said.splitlines()[-1] == "error: interrupted: what is finished is kept: run again to go on"
    assert "Traceback" not in said
    assert "leaked" not in said
    assert kept()


def end(process: subprocess.Popen[str]) -> None:
    """End what is left of a process and its workers, which are a group of their own.

    The process that gives back shared memory takes no notice, and ends when it has done so.
    """
    deadline = time.monotonic() + 30
    while group_lives(process.pid):
        assert time.monotonic() < deadline
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.poll()
        time.sleep(0.1)


def test_the_workers_of_a_killed_run_end_too(work: Params) -> None:
    """And give back the memory that they shared."""
    before = blocks()
    process = start(workers=2)
    try:
        kill_while_it_trains(process, 0.1)
        deadline = time.monotonic() + 30
        while group_lives(process.pid):
            assert time.monotonic() < deadline, "workers are still there"
            time.sleep(0.1)
    finally:
        end(process)
    assert blocks() <= before


def blocks() -> set[str]:
    """Return the blocks of shared memory that there are."""
    return {path.name for path in Path("/dev/shm").glob("psm_*")}


def group_lives(number: int) -> bool:
    try:
        os.killpg(number, 0)
    except ProcessLookupError:
        return False
    return True
