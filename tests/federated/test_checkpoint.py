import resource
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from pipeline import paths, seeds
from pipeline.errors import ArtifactError
from pipeline.federated import experiment
from pipeline.federated.algorithms import make
from pipeline.federated.algorithms.fedavg import State
from pipeline.federated.algorithms.fedprox import FedProx
from pipeline.federated.arrays import Stored
from pipeline.federated.checkpoint import Checkpoints
from pipeline.federated.experiment import Crew
from pipeline.federated.local import Hyper, Normalisation
from pipeline.federated.simulation import Progress, Round, Run, Schedule, begin, simulate
from pipeline.federated.workers import Data, Worker
from pipeline.params import TrainParams

SHIPPED = Path(__file__).parents[2] / "params.yaml"
MakeRun = Callable[..., Run]
MakeStored = Callable[[str, int], Stored]


class Interrupted(Exception):
    """Ends a run after some round."""


def play(run: Run, data: Data, kept: Checkpoints | None = None, until: int | None = None) -> Progress:
    """Carry a run out from where it was kept, and keep it after each round; give up after round ``until``."""
    at = (kept.load() if kept else None) or begin(run)

    def on_round(now: Progress) -> None:
        if kept:
            kept.keep(now)
        if len(now.rounds) == until:
            raise Interrupted

    execution, worker = simulate(run, at, on_round), Worker(data, run)
    try:
        tasks = next(execution)
        while True:
            tasks = execution.send([worker.carry_out(task) for task in tasks])
    except StopIteration as end:
        progress: Progress = end.value
        return progress


def bits(progress: Progress) -> object:
    """Return all that a run stands at, so that it can be compared."""
    own = {client: {name: vector.tobytes() for name, vector in kept.items()} for client, kept in progress.own.items()}
    return progress.rounds, {name: vector.tobytes() for name, vector in progress.state.items()}, own


@pytest.mark.parametrize(
    ("algorithm", "model"),
    [("fedavg", "simple-cnn"), ("scaffold", "simple-cnn"), ("moon", "simple-cnn"), ("fedadam", "resnet20")],
)
def test_a_run_that_is_interrupted_after_any_round_ends_the_same(
    images: Data, run: MakeRun, algorithm: str, model: str
) -> None:
    """Two of three clients are drawn, every second round is tested, and the last."""
    made = replace(run(rounds=5, clients_per_round=2, eval_every=2), algorithm=make(algorithm, {}), model=model)
    made = replace(made, norm="batch", schedule=Schedule(0.05, "cosine"))
    expected = bits(play(made, images))
    for number in range(1, 6):
        kept = Checkpoints("a run", made, images, every=1)
        with pytest.raises(Interrupted):
            play(made, images, kept, until=number)
        stood = kept.load()
        assert stood is not None
        assert [done.number for done in stood.rounds] == list(range(1, number + 1))
        assert bits(play(made, images, kept)) == expected, number
        kept.forget()


def test_a_run_may_be_interrupted_again_and_again(images: Data, run: MakeRun) -> None:
    made = replace(run(rounds=5), algorithm=make("scaffold", {}))
    kept = Checkpoints("a run", made, images, every=1)
    for number in range(1, 6):
        with pytest.raises(Interrupted):
            play(made, images, kept, until=number)
    assert bits(play(made, images, kept)) == bits(play(made, images))


def test_a_run_is_kept_as_often_as_asked(images: Data, run: MakeRun) -> None:
    """After rounds 3 and 6 of eight: interrupted after round 5 it goes on from 3, and after round 7 from 6."""
    made = run(rounds=8)
    kept = Checkpoints("a run", made, images, every=3)
    for until, found in ((2, None), (5, 3), (7, 6)):
        with pytest.raises(Interrupted):
            play(made, images, kept, until=until)
        stood = kept.load()
        assert (None if stood is None else len(stood.rounds)) == found


def test_the_last_round_is_kept_too(images: Data, run: MakeRun) -> None:
    """So that nothing is lost where results cannot be saved."""
    made = run(rounds=2)
    kept = Checkpoints("a run", made, images, every=3)
    play(made, images, kept)
    stood = kept.load()
    assert stood is not None
    assert len(stood.rounds) == 2


def test_a_file_system_that_takes_no_more_is_one_line(images: Data, run: MakeRun) -> None:
    """As a limit on the size of files; a full disk is in test_arrays."""
    kept, made = Checkpoints("a run", run(), images, every=1), begin(run())
    at = Progress(made.state, {}, [Round(1, 2, 3, 4, 5)])
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    try:
        with pytest.raises(ArtifactError, match=r"^cannot write \(.*\): .*\.safetensors: ") as caught:
            kept.keep(at)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "\n" not in str(caught.value)
    assert list(kept.path.parent.iterdir()) == []


def test_what_is_read_is_what_was_written(images: Data, run: MakeRun) -> None:
    """Names, vectors, and numbers to the last digit; a class without test images stays without accuracy."""
    done = [Round(1, 30, 6, 40, 50, 0.1 + 0.2, float("inf"), (1 / 3, None)), Round(2, 31, 7, 41, 51)]
    state: State = {"weights": np.arange(5, dtype=np.float32) / np.float32(3), "first moment": np.zeros(2, np.float32)}
    at = Progress(state, {12: {"a/b": np.ones(3, np.float32)}, 3: {"weights": np.full(1, 7, np.float32)}}, done)
    kept = Checkpoints("a run", run(), images, every=2)
    kept.keep(at)
    found = kept.load()
    assert found is not None
    assert bits(found) == bits(at)
    assert all(vector.flags.writeable and vector.dtype == np.float32 for vector in found.state.values())


@pytest.mark.parametrize("rest", [0.0, 0.01, 0.5, 0.999])
def test_a_truncated_file_counts_as_none_and_says_so(
    images: Data, run: MakeRun, capsys: pytest.CaptureFixture[str], rest: float
) -> None:
    made = run(rounds=2)
    kept = Checkpoints("this run", made, images, every=1)
    with pytest.raises(Interrupted):
        play(made, images, kept, until=1)
    whole = kept.path.read_bytes()
    kept.path.write_bytes(whole[: int(len(whole) * rest)])
    assert kept.load() is None
    assert capsys.readouterr().err == f"{kept.path} is damaged; this run begins anew\n"
    assert bits(play(made, images, kept)) == bits(play(made, images))


def test_a_damaged_file_counts_as_none_and_says_so(
    images: Data, run: MakeRun, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its length, its head, its list of rounds or its names are spoilt, or it is something else."""
    kept = Checkpoints("this run", run(), images, every=1)
    kept.keep(Progress({"weights": np.ones(4, np.float32)}, {1: {"a": np.ones(2, np.float32)}}, [Round(1, 2, 3, 4, 5)]))
    whole = kept.path.read_bytes()
    spoilt = [
        b"\xff" * 8 + whole[8:],
        whole.replace(b"rounds", b"ruonds"),
        whole.replace(b'\\"number', b'\\"numbre'),
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
        assert capsys.readouterr().err == f"{kept.path} is damaged; this run begins anew\n"
    kept.path.write_bytes(whole)
    assert kept.load() is not None


def test_one_flipped_bit_anywhere_is_damage(images: Data, run: MakeRun) -> None:
    """In the head, in the numbers of the rounds, and in every vector; spaces that fill up the head do not count."""
    kept = Checkpoints("this run", run(), images, every=1)
    kept.keep(Progress({"weights": np.ones(4, np.float32)}, {1: {"a": np.ones(2, np.float32)}}, [Round(1, 2, 3, 4, 5)]))
    whole = kept.path.read_bytes()
    for place in range(len(whole)):
        spoilt = bytearray(whole)
        spoilt[place] ^= 1
        kept.path.write_bytes(spoilt)
        assert kept.load() is None or whole[place : place + 1] == b" ", place


def test_another_run_does_not_find_it(images: Data, run: MakeRun, stored: MakeStored) -> None:
    """Whatever differs of the run, or of its images."""
    made = run()
    kept = Checkpoints("a run", made, images, every=1)
    kept.keep(Progress(begin(made).state, {}, [Round(1, 2, 3, 4, 5)]))
    others: dict[str, Any] = {
        "clients": (*made.clients[:2], replace(made.clients[2], steps=2)),
        "algorithm": FedProx(),
        "model": "lenet5",
        "norm": "batch",
        "image_size": 17,
        "tests": (3, 2, 4),
        "hyper": replace(made.hyper, augment=True),
        "schedule": replace(made.schedule, decay=0.5),
        "rounds": 4,
        "clients_per_round": 2,
        "eval_every": 2,
        "stop_at": 0.5,
        "seed": 2,
    }
    assert set(others) == {field.name for field in fields(Run)}
    runs = [replace(made, **{name: value}) for name, value in others.items()]
    runs += [replace(made, algorithm=FedProx(mu=0.5)), replace(made, hyper=Hyper(6, 0.9, 0.1))]
    data = [
        replace(images, real=stored("other", 30)),
        replace(images, extra=None),
        replace(images, extra=stored("another", 12)),
        replace(images, test=stored("tested", 9)),
        replace(images, norm=Normalisation((1.0, 2.0, 3.0), images.norm.std)),
    ]
    found = [Checkpoints("a run", other, images, 1) for other in runs] + [
        Checkpoints("a run", made, d, 1) for d in data
    ]
    assert len({other.path for other in found}) == len(found) == 20
    assert [other.load() for other in found] == [None] * len(found)
    assert Checkpoints("of another name", run(), images, 5).load() is not None


def params(**others: object) -> TrainParams:
    shipped = yaml.safe_load(SHIPPED.read_text())["train"]
    small = {"seeds": [1, 4], "rounds": 3, "batch_size": 6, "learning_rate": 0.05, "eval_every": 1}
    return TrainParams.model_validate({**shipped, **small, **others})


@pytest.mark.parametrize("workers", [1, 2])
def test_an_experiment_goes_on_from_what_is_kept_and_forgets_it_once_it_is_saved(images: Data, workers: int) -> None:
    """One seed's run stands after two rounds, which another has marked: they are not carried out again."""
    arms = {"both": experiment.clients(np.array([10, 20]), np.array([0, 0]), np.array([2, 4]))}
    made = experiment.run_of(arms["both"], "moon", images, 3, params(), seeds.derive(9, "train", 4))
    kept = Checkpoints("a run", made, images, every=1)
    with pytest.raises(Interrupted):
        play(made, images, kept, until=2)
    stood = kept.load()
    assert stood is not None
    stood.rounds[0].samples = 999
    kept.keep(stood)
    crew = Crew(workers, checkpoint_every=1)
    with (
        pytest.raises(Interrupted),
        experiment.executed("train none moon", arms, "moon", images, 3, params(), 9, crew),
    ):
        raise Interrupted  # before all was saved
    assert len(list((paths.cache() / "checkpoints").iterdir())) == 2
    with experiment.executed("train none moon", arms, "moon", images, 3, params(), 9, crew) as ends:
        assert len(list((paths.cache() / "checkpoints").iterdir())) == 2
    assert list((paths.cache() / "checkpoints").iterdir()) == []
    with experiment.executed("train none moon", arms, "moon", images, 3, params(), 9, Crew(1)) as anew:
        pass
    assert bits(ends["both", 1]) == bits(anew["both", 1])
    assert ends["both", 4].rounds[0].samples == 999
    ends["both", 4].rounds[0].samples = anew["both", 4].rounds[0].samples
    assert bits(ends["both", 4]) == bits(anew["both", 4])
