from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from pipeline.artifacts import history
from pipeline.artifacts.history import Participation, Round
from pipeline.federated import inputs as federated
from pipeline.federated import training, workers
from pipeline.federated.algorithms import make
from pipeline.federated.algorithms.scaffold import Scaffold
from pipeline.federated.checkpoints import Checkpoint
from pipeline.federated.inputs import Inputs
from pipeline.federated.runs import RunStore, digest
from pipeline.federated.simulation import Run, RunState, Schedule, begin, simulate
from pipeline.federated.worker import Worker
from pipeline.federated.workers import ExecutionOptions
from pipeline.workspace import Workspace
from tests.federated.playing import play

MakeRun = Callable[..., Run]
ONE, TWO = ExecutionOptions(1), ExecutionOptions(2)
TOOK_PART = (Participation(0, 30, 6, 40, 50),)


def alone(run: Run, inputs: Inputs, workspace: Workspace) -> RunState:
    """Return the end of a run by the executor alone, without store and checkpoints."""
    return workers.execute({"x": simulate(run, begin(run))}, run, inputs, 1, workspace.cache)["x"]


def trained(capsys: pytest.CaptureFixture[str]) -> int:
    """Return how many rounds were trained, by the last line of progress."""
    lines = [line for line in capsys.readouterr().err.splitlines() if " rounds, " in line]
    return int(lines[-1].split(": ")[1].split("/")[0]) if lines else 0


def test_runs_end_as_they_do_alone(inputs: Inputs, run: MakeRun, workspace: Workspace) -> None:
    runs = {"epochs, seed 1": run(), "steps, seed 1": run(seed=2)}
    ends = training.train("train none fedavg", runs, inputs, workspace, ONE)
    assert list(ends) == list(runs)
    for name, made in runs.items():
        expected = alone(made, inputs, workspace)
        assert np.array_equal(ends[name].weights, expected.weights)
        assert ends[name].rounds == expected.rounds
    stored = {entry.title: entry.seconds or 0 for entry in RunStore(workspace.runs).entries()}
    assert set(stored) == {f"train none fedavg {name}" for name in runs}
    assert 0 <= stored["train none fedavg epochs, seed 1"] <= stored["train none fedavg steps, seed 1"] < 600


@pytest.mark.parametrize("options", [ONE, TWO])
def test_equal_runs_are_trained_once_and_stored_ones_never(
    inputs: Inputs, run: MakeRun, workspace: Workspace, capsys: pytest.CaptureFixture[str], options: ExecutionOptions
) -> None:
    """Three rounds for two equal runs; then three more for the one that is new."""
    runs = {"epochs, seed 1": run(), "steps, seed 1": run()}
    first = training.train("train synthetic fedavg", runs, inputs, workspace, options)
    assert trained(capsys) == 3
    assert first["epochs, seed 1"] is first["steps, seed 1"]
    again = training.train("train none fedprox", runs | {"epochs, seed 4": run(seed=4)}, inputs, workspace, options)
    said = capsys.readouterr().err
    assert "train none fedprox: 1 of 2 runs were trained before and come from the store" in said
    assert "train none fedprox: 3/3 rounds" in said
    assert np.array_equal(again["steps, seed 1"].weights, first["steps, seed 1"].weights)
    assert again["steps, seed 1"].rounds == first["steps, seed 1"].rounds
    assert list(again) == ["epochs, seed 1", "steps, seed 1", "epochs, seed 4"]
    training.train("another title", runs, inputs, workspace, options)
    assert trained(capsys) == 0
    assert list(workspace.checkpoints.glob("*")) == []


def test_a_run_that_reaches_its_target_counts_as_done(
    inputs: Inputs, run: MakeRun, workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    """Any accuracy above 0 is at least 0.0001, so the first tested round that is right once ends the run."""
    runs = {name: replace(run(rounds=40, seed=seed), stop_at=0.0001) for name, seed in (("a", 1), ("b", 2))}
    ends = training.train("train none", runs, inputs, workspace, TWO)
    assert all(len(end.rounds) < 40 for end in ends.values())
    assert "train none: 80/80 rounds" in capsys.readouterr().err


@pytest.mark.parametrize("options", [ONE, TWO])
def test_clients_alone_are_trained_beside_each_other_and_counted(
    inputs: Inputs, run: MakeRun, workspace: Workspace, capsys: pytest.CaptureFixture[str], options: ExecutionOptions
) -> None:
    """Two runs of three clients; a rate of 1e30 leaves none of them finite, and the first one is named once a run."""
    for rate in (0.05, 1e30):
        schedule = Schedule(rate, "constant")
        runs = {
            name: replace(federated.alone(run(seed=seed)), schedule=schedule) for name, seed in (("a", 1), ("b", 2))
        }
        ends = training.train("train none alone", runs, inputs, workspace, options)
        said = capsys.readouterr().err
        assert "train none alone: 6/6 clients" in said
        assert ("not finite: train none alone b, client 0: lower" in said) == (rate == 1e30)
        assert said.count("warning: ") == (2 if rate == 1e30 else 0)
        for name, made in runs.items():
            expected = play(made, inputs)
            assert [repr(done) for done in ends[name].rounds] == [repr(done) for done in expected.rounds]
            accuracies = [done.accuracy or 0 for done in expected.rounds]
            (stored,) = (entry for entry in RunStore(workspace.runs).entries() if entry.digest == digest(made))
            assert stored.accuracy == pytest.approx(sum(accuracies) / 3)


def test_the_smallest_rate_that_scaffold_takes_gives_numbers(
    inputs: Inputs, run: MakeRun, workspace: Workspace
) -> None:
    made = replace(run(), algorithm=Scaffold(), schedule=Schedule(0.05, "exponential", 1e-20))
    assert all(np.isfinite(vector).all() for vector in alone(made, inputs, workspace).state.values())


@pytest.mark.parametrize("options", [ONE, TWO])
def test_a_run_that_diverges_is_reported_once_and_again_when_it_comes_from_the_store(
    inputs: Inputs,
    run: MakeRun,
    workspace: Workspace,
    capsys: pytest.CaptureFixture[str],
    options: ExecutionOptions,
) -> None:
    """Steps of rate 1e30 leave no number after the first round, which is not tested."""
    for rate in (0.05, 1e30):
        schedule = Schedule(rate, "constant")
        runs = {
            name: replace(run(rounds=4, eval_every=2, seed=seed), schedule=schedule)
            for name, seed in (("a", 1), ("b", 4))
        }
        for attempt in range(2):
            training.train("train none", runs, inputs, workspace, options)
            said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning: ")]
            # The store keeps the last weights and the tests; round 2 is the first tested one.
            expected = [
                f"warning: loss or weights are not finite: train none {name}, round {2 if attempt else 1}: "
                "lower train.learning_rate, or set train.clip_norm"
                for name in ("a", "b")
            ]
            assert sorted(said) == (expected if rate == 1e30 else [])


def test_the_round_that_diverged_is_found_by_loss_or_weights() -> None:
    good, bad = np.ones(3, np.float32), np.array([1, np.inf, 1], np.float32)
    rounds = [Round(1, TOOK_PART, 0.5, 2.0), Round(2, TOOK_PART), Round(3, TOOK_PART)]
    assert training.first_infinite(RunState({"weights": good})) is None
    assert training.first_infinite(RunState({"weights": good}, {}, rounds)) is None
    assert training.first_infinite(RunState({"weights": bad}, {}, rounds)) == 3
    rounds[1] = replace(rounds[1], loss=float("nan"))
    assert training.first_infinite(RunState({"weights": good}, {}, rounds)) == 2


def test_histories_are_rounded_to_six_digits() -> None:
    tested = Round(2, TOOK_PART, 0.12345678, 2.00000049, (1 / 3, None, 1.0), 2 / 3)
    made = training.history(RunState({}, {}, [Round(1, TOOK_PART), tested]), "none", "fedavg", "steps", 4, 2)
    assert (made.fill, made.algorithm, made.budget, made.seed, made.last_rounds) == ("none", "fedavg", "steps", 4, 2)
    assert made.rounds == (
        history.Round(1, TOOK_PART),
        history.Round(2, TOOK_PART, 0.123457, 2.0, (0.333333, None, 1.0), 0.666667),
    )


@pytest.mark.parametrize("workers", [1, 2])
def test_training_continues_from_a_checkpoint(
    inputs: Inputs, run: MakeRun, workspace: Workspace, workers: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """One of two runs was interrupted after two of three rounds; its first round is marked, to be known again."""
    runs = {name: replace(run(seed=seed), algorithm=make("moon", {})) for name, seed in (("a", 1), ("b", 4))}
    kept = Checkpoint(workspace.checkpoints, "b", runs["b"], 1)
    at, worker = begin(runs["b"]), Worker(inputs, runs["b"])
    execution = simulate(runs["b"], at)
    tasks = next(execution)
    while len(at.rounds) < 2:
        tasks = execution.send([worker.carry_out(task) for task in tasks])
    at.rounds[0] = replace(at.rounds[0], participants=(Participation(9, 9, 9, 9, 9),))
    kept.keep(at)
    ends = training.train("train", runs, inputs, workspace, ExecutionOptions(workers, checkpoint_every=1))
    assert trained(capsys) == 6
    assert list(workspace.checkpoints.iterdir()) == []
    assert ends["b"].rounds[0].participants == (Participation(9, 9, 9, 9, 9),)
    for name, made in runs.items():
        expected = alone(made, inputs, workspace)
        assert np.array_equal(ends[name].weights, expected.weights)
        assert ends[name].rounds[1:] == expected.rounds[1:]
