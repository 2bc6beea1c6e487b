import resource
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from pipeline.artifacts.history import Participation, Round
from pipeline.errors import ArtifactError
from pipeline.federated.algorithm import State
from pipeline.federated.algorithms import make
from pipeline.federated.checkpoints import Checkpoint
from pipeline.federated.inputs import Inputs
from pipeline.federated.simulation import Run, RunState, Schedule, begin
from pipeline.workspace import Workspace
from tests.federated.playing import Interrupted, play

MakeRun = Callable[..., Run]
MakeCheckpoint = Callable[..., Checkpoint]
ROUND = Round(1, (Participation(0, 2, 3, 4, 5),))


@pytest.fixture
def checkpoint(workspace: Workspace) -> MakeCheckpoint:
    """A function that makes the checkpoint of a run."""

    def make_one(run: Run, every: int = 1) -> Checkpoint:
        return Checkpoint(workspace.checkpoints, "this run", run, every)

    return make_one


def bits(at: RunState) -> object:
    """Return all of a run's state, so that it can be compared."""
    own = {i: {name: vector.tobytes() for name, vector in kept.items()} for i, kept in at.client_states.items()}
    recent = [vector.tobytes() for vector in at.recent]
    return at.rounds, {name: vector.tobytes() for name, vector in at.state.items()}, own, recent


@pytest.mark.parametrize(
    ("algorithm", "model"),
    [("fedavg", "simple-cnn"), ("scaffold", "simple-cnn"), ("moon", "simple-cnn"), ("fedadam", "resnet20")],
)
def test_a_run_that_is_interrupted_after_any_round_ends_the_same(
    checkpoint: MakeCheckpoint, inputs: Inputs, run: MakeRun, algorithm: str, model: str
) -> None:
    """Two of three clients are drawn; every second round is tested, and the last three, whose weights are averaged."""
    made = replace(run(rounds=5, clients_per_round=2, eval_every=2), algorithm=make(algorithm, {}), model=model)
    made = replace(made, norm="batch", schedule=Schedule(0.05, "cosine"), last_rounds=3)
    expected = bits(play(made, inputs))
    for number in range(1, 6):
        kept = checkpoint(made, 1)
        with pytest.raises(Interrupted):
            play(made, inputs, kept, until=number)
        stood = kept.load()
        assert stood is not None
        assert [done.number for done in stood.rounds] == list(range(1, number + 1))
        assert bits(play(made, inputs, kept)) == expected, number
        kept.forget()


def test_a_run_may_be_interrupted_again_and_again(checkpoint: MakeCheckpoint, inputs: Inputs, run: MakeRun) -> None:
    made = replace(run(rounds=5), algorithm=make("scaffold", {}))
    kept = checkpoint(made, 1)
    for number in range(1, 6):
        with pytest.raises(Interrupted):
            play(made, inputs, kept, until=number)
    assert bits(play(made, inputs, kept)) == bits(play(made, inputs))


def test_a_run_that_is_interrupted_on_its_way_to_a_target_ends_the_same(
    checkpoint: MakeCheckpoint, inputs: Inputs, run: MakeRun
) -> None:
    """The average of the weights before the end, which no one knew in advance, needs those of the rounds before."""
    made = replace(run(rounds=9, seed=3), last_rounds=3, stop_at=0.5)
    expected = play(made, inputs)
    last = len(expected.rounds)
    assert 3 < last < 9
    for number in range(1, last + 1):
        kept = checkpoint(made, 1)
        with pytest.raises(Interrupted):
            play(made, inputs, kept, until=number)
        assert bits(play(made, inputs, kept)) == bits(expected), number
        kept.forget()


def test_a_run_is_kept_as_often_as_asked(checkpoint: MakeCheckpoint, inputs: Inputs, run: MakeRun) -> None:
    """After rounds 3 and 6 of eight: interrupted after round 5 it continues from 3, and after round 7 from 6."""
    made = run(rounds=8)
    kept = checkpoint(made, 3)
    for until, found in ((2, None), (5, 3), (7, 6)):
        with pytest.raises(Interrupted):
            play(made, inputs, kept, until=until)
        stood = kept.load()
        assert (None if stood is None else len(stood.rounds)) == found


def test_the_last_round_is_kept_too(checkpoint: MakeCheckpoint, inputs: Inputs, run: MakeRun) -> None:
    """So that nothing is lost where results cannot be saved."""
    made = run(rounds=2)
    kept = checkpoint(made, 3)
    play(made, inputs, kept)
    stood = kept.load()
    assert stood is not None
    assert len(stood.rounds) == 2


def test_a_file_system_that_takes_no_more_is_one_line(checkpoint: MakeCheckpoint, inputs: Inputs, run: MakeRun) -> None:
    """As a limit on the size of files; a full disk is in tests/data/test_arrays.py."""
    kept, made = checkpoint(run(), 1), begin(run())
    at = RunState(made.state, {}, [ROUND])
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    try:
        with pytest.raises(ArtifactError, match=r"^cannot write \(.*\): .*\.safetensors: ") as caught:
            kept.keep(at)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "\n" not in str(caught.value)
    assert list(kept.path.parent.iterdir()) == []


def test_what_is_read_is_what_was_written(checkpoint: MakeCheckpoint, inputs: Inputs, run: MakeRun) -> None:
    """Names, vectors, and numbers to the last digit; a class without test images stays without accuracy."""
    took_part = (Participation(0, 10, 2, 40, 50), Participation(7, 20, 4, 40, 50))
    done = [Round(1, took_part, 0.1 + 0.2, float("inf"), (1 / 3, None)), Round(2, ())]
    state: State = {"weights": np.arange(5, dtype=np.float32) / np.float32(3), "first moment": np.zeros(2, np.float32)}
    recent = [np.full(3, value, np.float32) for value in range(12)]  # more than ten: not in order of their names
    at = RunState(state, {12: {"a/b": np.ones(3, np.float32)}, 3: {"weights": np.full(1, 7, np.float32)}}, done, recent)
    kept = checkpoint(run(), 2)
    kept.keep(at)
    found = kept.load()
    assert found is not None
    assert bits(found) == bits(at)
    assert all(vector.flags.writeable and vector.dtype == np.float32 for vector in found.state.values())


@pytest.mark.parametrize("rest", [0.0, 0.01, 0.5, 0.999])
def test_a_truncated_file_counts_as_none_and_says_so(
    checkpoint: MakeCheckpoint, inputs: Inputs, run: MakeRun, capsys: pytest.CaptureFixture[str], rest: float
) -> None:
    made = run(rounds=2)
    kept = checkpoint(made, 1)
    with pytest.raises(Interrupted):
        play(made, inputs, kept, until=1)
    whole = kept.path.read_bytes()
    kept.path.write_bytes(whole[: int(len(whole) * rest)])
    assert kept.load() is None
    assert capsys.readouterr().err == f"{kept.path} is damaged; this run starts again\n"
    assert bits(play(made, inputs, kept)) == bits(play(made, inputs))


def test_a_damaged_file_counts_as_none_and_says_so(
    checkpoint: MakeCheckpoint, inputs: Inputs, run: MakeRun, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its length, its head, its list of rounds or its names are spoilt, or it is something else."""
    kept = checkpoint(run(), 1)
    kept.keep(RunState({"weights": np.ones(4, np.float32)}, {1: {"a": np.ones(2, np.float32)}}, [ROUND]))
    whole = kept.path.read_bytes()
    spoilt = [
        b"\xff" * 8 + whole[8:],
        whole.replace(b"rounds", b"ruonds"),
        whole.replace(b'\\"number', b'\\"numbre'),
        whole.replace(b'participants"', b'participantz"'),
        whole.replace(b"1/a", b"x/a"),
        whole.replace(b"1/a", b"1:a"),
        whole.replace(b"[{", b"[["),
        whole + b"0",
        b"not a checkpoint",
    ]
    for content in spoilt:
        assert content != whole
        kept.path.write_bytes(content)
        assert kept.load() is None, content
        assert capsys.readouterr().err == f"{kept.path} is damaged; this run starts again\n"
    kept.path.write_bytes(whole)
    assert kept.load() is not None


def test_one_flipped_bit_anywhere_is_damage(checkpoint: MakeCheckpoint, inputs: Inputs, run: MakeRun) -> None:
    """In the head, in the numbers of the rounds, and in every vector; spaces that fill up the head do not count."""
    kept = checkpoint(run(), 1)
    kept.keep(RunState({"weights": np.ones(4, np.float32)}, {1: {"a": np.ones(2, np.float32)}}, [ROUND]))
    whole = kept.path.read_bytes()
    for place in range(len(whole)):
        spoilt = bytearray(whole)
        spoilt[place] ^= 1
        kept.path.write_bytes(spoilt)
        assert kept.load() is None or whole[place : place + 1] == b" ", place
