"""The ``train`` stage leaves the same bytes whenever it is killed and started again."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import yaml
from safetensors import safe_open

from pipeline import params
from pipeline.errors import ArtifactError
from pipeline.federated.workers import ExecutionOptions
from pipeline.params import Params
from pipeline.stages import deficits, fill, generate, partition, train
from pipeline.workspace import Workspace
from tests.conftest import small_document
from tests.jobs import PATIENCE, until
from tests.stops import Moment, stopped

ROOT = Path(__file__).parent.parent
ROUNDS = 8
FOLDER = r"checkpoints', None"  # how an opened folder is described


def keeping(count: int) -> Moment:
    """A checkpoint is written, but not yet in its place."""
    return Moment("os.rename", "checkpoints", count)


def kept(count: int) -> Moment:
    """A checkpoint has come into its place."""
    return Moment("open", FOLDER, count)


WORKING = Moment("mmap.__new__", r"^worker .*shared_memory\.py")
"""A worker begins to train a client; the coordinating process waits for it."""


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory, small_data: Path, tiny_model: Path) -> Path:
    """A project that only lacks its training: two runs of 8 short rounds, whose clients keep something."""
    folder = tmp_path_factory.mktemp("prepared") / "project"
    folder.mkdir()
    (folder / "pipeline").symlink_to(ROOT / "pipeline")
    document = small_document(small_data, tiny_model)
    document["deficits"] |= {"ratio": 0.0}
    document["train"] |= {"seeds": [1, 2], "rounds": ROUNDS, "clients_per_round": 2, "eval_every": 3}
    (folder / "params.yaml").write_text(yaml.safe_dump(document))
    workspace = Workspace(folder, folder.parent / "cache")
    made = params.load(workspace.params)
    partition.run(workspace, made)
    deficits.run(workspace, made)
    generate.run(workspace, made, ["cpu"])
    fill.run(workspace, made, "none")
    return folder


@pytest.fixture
def work(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Params:
    """A copy of that project, as the working folder."""
    shutil.copytree(prepared, tmp_path / "project", symlinks=True)
    monkeypatch.chdir(tmp_path / "project")
    return params.load(Path("params.yaml"))


def products(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def rounds_in(folder: Path) -> dict[str, int]:
    """Return how many rounds each run in a folder has, by the name of its file."""
    found = {}
    for path in folder.glob("[!.]*"):
        with safe_open(path, "numpy") as file:
            found[path.name] = file.metadata()["rounds"].count('"number"')
    return found


def checkpoints() -> dict[str, int]:
    """Return after how many rounds each unfinished run was kept."""
    return rounds_in(Workspace().checkpoints)


def kept_rounds() -> dict[str, int]:
    """Return the same, with the finished runs of the store."""
    return checkpoints() | rounds_in(Workspace().runs)


class Training:
    """A ``train`` stage in a group of processes of its own."""

    def __init__(self, folder: Path, workers: int, moment: Moment | None) -> None:
        options = ["--fill", "none", "--algorithm", "scaffold", "--checkpoint-every", "1", "--workers", str(workers)]
        command = [sys.executable, "-m", "pipeline", "train", *options]
        self._folder, self._said = folder, folder / "said.txt"
        environment = moment.environment(folder) if moment else None
        with self._said.open("w") as said:
            self.process = subprocess.Popen(command, stdout=said, stderr=said, env=environment, start_new_session=True)

    def said(self) -> str:
        return self._said.read_text()

    def stop(self) -> None:
        """Wait until it is at its moment."""

        def there() -> bool:
            assert self.process.poll() is None, self.said()
            return stopped(self._folder)

        until(there)

    def lives(self) -> bool:
        """Tell whether one of its processes lives."""
        self.process.poll()
        try:
            os.killpg(self.process.pid, 0)
        except ProcessLookupError:
            return False
        return True


Start = Callable[[int, Moment | None], Training]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """A function that starts the stage with so many workers; what a test leaves of it is killed."""
    made: list[Training] = []

    def begin(workers: int, moment: Moment | None) -> Training:
        made.append(Training(tmp_path, workers, moment))
        return made[-1]

    yield begin
    for training in made:
        with suppress(ProcessLookupError):
            os.killpg(training.process.pid, signal.SIGKILL)
        training.process.wait()


def blocks(process: int) -> set[Path]:
    """Return the blocks of shared memory that a process has."""
    lines = Path(f"/proc/{process}/maps").read_text().splitlines()
    return {Path(line.split()[5]) for line in lines if "/dev/shm/psm_" in line}


@pytest.mark.parametrize(("workers", "moments"), [(1, [keeping(3), kept(7)]), (2, [kept(2), WORKING, keeping(4)])])
def test_training_that_is_killed_again_and_again_ends_the_same(
    work: Params, workers: int, moments: list[Moment], start: Start, tmp_path: Path
) -> None:
    """It resumes each time where it was, and leaves what it leaves undisturbed. Its workers end with it.

    What it leaves undisturbed is computed in another cache, or the store would give it back. One process trains one run
    after the other: it is killed when the first has 2 rounds, and when that has all 8 and
    the second one has 1.
    """
    folder = Workspace().run("none", "scaffold")
    train.run(Workspace(cache=tmp_path / "another cache"), work, "none", "scaffold", ExecutionOptions(1))
    expected = products(folder)
    assert set(expected) == {
        "history.csv",
        "participants.parquet",
        "classes.csv",
        "clients.csv",
        *(f"weights/{budget}-{seed}.safetensors" for budget in ("epochs", "steps") for seed in (1, 2)),
    }
    shutil.rmtree(folder)
    rounds = dict[str, int]()
    for moment in moments:
        training = start(workers, moment)
        training.stop()
        shared = blocks(training.process.pid)
        assert len(shared) == (2 if workers > 1 else 0)  # one for each run
        training.process.kill()
        until(lambda training=training: not training.lives())  # type: ignore[misc]
        assert not any(block.exists() for block in shared)
        now = kept_rounds()
        assert all(now[name] >= number for name, number in rounds.items())
        if moment is not WORKING:
            new = moment.count - (moment.event == "os.rename")
            assert sum(now.values()) == sum(rounds.values()) + new
        assert not folder.exists()
        rounds = now
    assert 0 < min(rounds.values()) < ROUNDS
    training = start(workers, None)
    assert training.process.wait(PATIENCE) == 0, training.said()
    assert "damaged" not in training.said()
    assert products(folder) == expected
    assert checkpoints() == {}


def test_results_that_cannot_be_saved_cost_no_round(work: Params, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder is in the way of the last file; the runs are in the store, so when it is gone nothing is trained."""
    workspace = Workspace()
    folder = workspace.run("none", "fedavg")
    obstacle = folder / "weights" / "steps-2.safetensors"
    (obstacle / "not empty").mkdir(parents=True)
    with pytest.raises(ArtifactError, match="cannot write"):
        train.run(workspace, work, "none", "fedavg", ExecutionOptions(1, checkpoint_every=3))
    assert checkpoints() == {}
    assert list(kept_rounds().values()) == [ROUNDS, ROUNDS]
    assert f"{2 * ROUNDS}/{2 * ROUNDS} rounds" in capsys.readouterr().err
    shutil.rmtree(obstacle)
    train.run(workspace, work, "none", "fedavg", ExecutionOptions(1, checkpoint_every=3))
    assert " rounds, " not in capsys.readouterr().err
    found = products(folder)
    shutil.rmtree(folder)
    shutil.rmtree(workspace.runs)
    train.run(workspace, work, "none", "fedavg", ExecutionOptions(1))
    assert products(folder) == found


@pytest.mark.parametrize(
    ("workers", "moment", "rounds"), [(1, keeping(2), 1), (2, keeping(2), 1), (2, kept(3), 3), (2, WORKING, 0)]
)
def test_ctrl_c_ends_training_with_one_line_that_is_true_of_it(
    work: Params, workers: int, moment: Moment, rounds: int, start: Start
) -> None:
    """A terminal sends it to the workers too, whatever they are doing; they say nothing."""
    training = start(workers, moment)
    training.stop()
    os.killpg(training.process.pid, signal.SIGINT)
    assert training.process.wait(PATIENCE) == 130
    until(lambda: not training.lives())
    assert training.said().splitlines()[-1] == "error: interrupted: what is finished is kept: run again to resume"
    assert "Traceback" not in training.said()
    assert "leaked" not in training.said()
    assert sum(checkpoints().values()) >= rounds
