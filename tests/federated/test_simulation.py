from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from pipeline import seeds
from pipeline.federated.models import FlatModel
from pipeline.federated.simulation import Client, EvalResult, Outcome, Run, Task, TrainResult, TrainTask, simulate

MakeRun = Callable[..., Run]


@dataclass
class Script:
    """Answers a run's tasks by a rule that can be followed by hand, and keeps what was asked.

    Training adds the client's number of steps to every weight; a test tells the mean weight as its accuracy.
    """

    asked: list[Sequence[Task]] = field(default_factory=list)

    def play(self, run: Run) -> Outcome:
        execution = simulate(run)
        tasks = next(execution)
        while True:
            self.asked.append(tasks)
            try:
                tasks = execution.send([self.answer(task) for task in tasks])
            except StopIteration as end:
                outcome: Outcome = end.value
                return outcome

    def answer(self, task: Task) -> TrainResult | EvalResult:
        if isinstance(task, TrainTask):
            return task.weights + np.float32(task.client.steps), task.client.steps * 5
        return float(task.weights.mean(dtype=np.float64)), float(len(self.asked))

    @property
    def trained(self) -> list[list[TrainTask]]:
        return [[task for task in tasks if isinstance(task, TrainTask)] for tasks in self.asked]


def equal_clients(count: int, empty: Sequence[int] = ()) -> list[Client]:
    """Clients of ten images each, none for those in ``empty``; client i takes i + 1 steps."""
    return [Client(slice(0, 0 if i in empty else 10), slice(0, 0), i + 1) for i in range(count)]


def test_weights_move_by_the_weighted_mean_of_what_clients_did(run: MakeRun) -> None:
    """The clients have 16, 10 and 16 of 42 images and add 2, 3 and 1: each round adds (32 + 30 + 16) / 42 = 13 / 7."""
    script, made = Script(), run()
    outcome = script.play(made)
    start = FlatModel("simple-cnn", 3, 16, seeds.derive(made.seed, "weights")).vector.numpy()
    np.testing.assert_allclose(outcome.weights, start + 3 * 13 / 7, rtol=1e-4, atol=1e-5)
    for number, tasks in enumerate(script.trained):
        for task in tasks:
            np.testing.assert_allclose(task.weights, start + number * 13 / 7, rtol=1e-4, atol=1e-5)


def test_rounds_by_hand(run: MakeRun) -> None:
    """Three clients take 2 + 3 + 1 = 6 steps of 5 images; the model goes to three and back, 4 bytes a weight."""
    outcome = Script().play(run())
    size = 4 * 3 * len(outcome.weights)
    assert [done.number for done in outcome.rounds] == [1, 2, 3]
    for done in outcome.rounds:
        assert (done.samples, done.steps, done.bytes_down, done.bytes_up) == (30, 6, size, size)


def test_a_test_is_of_the_weights_that_its_round_left(run: MakeRun) -> None:
    """The test of a round is asked for with the next round's training, and the last one by itself."""
    script, made = Script(), run()
    outcome = script.play(made)
    start = float(FlatModel("simple-cnn", 3, 16, seeds.derive(made.seed, "weights")).vector.double().mean())
    assert [done.accuracy for done in outcome.rounds] == pytest.approx(
        [start + n * 13 / 7 for n in (1, 2, 3)], rel=1e-4
    )
    assert [len(tasks) for tasks in script.asked] == [3, 4, 4, 1]
    assert [done.loss for done in outcome.rounds] == [2.0, 3.0, 4.0]


@pytest.mark.parametrize(
    ("rounds", "every", "tested"), [(5, 2, [2, 4, 5]), (6, 3, [3, 6]), (2, 9, [2]), (3, 1, [1, 2, 3]), (1, 1, [1])]
)
def test_eval_every_and_always_the_last(run: MakeRun, rounds: int, every: int, tested: list[int]) -> None:
    script = Script()
    outcome = script.play(run(rounds=rounds, eval_every=every))
    assert [done.number for done in outcome.rounds if done.accuracy is not None] == tested
    assert [done.number for done in outcome.rounds if done.loss is not None] == tested
    asked = sum(not isinstance(task, TrainTask) for tasks in script.asked for task in tasks)
    assert asked == len(tested)


def test_testing_less_often_changes_nothing_else(run: MakeRun) -> None:
    often, seldom = Script().play(run(rounds=4)), Script().play(run(rounds=4, eval_every=4))
    assert np.array_equal(often.weights, seldom.weights)


def chosen(run: Run) -> list[list[int]]:
    """Return each round's clients; a client's steps tell its number."""
    script = Script()
    script.play(run)
    return [[task.client.steps - 1 for task in tasks] for tasks in script.trained if tasks]


def test_clients_of_a_round_are_drawn_without_repetition_and_in_order(run: MakeRun) -> None:
    picks = chosen(run(equal_clients(8), rounds=40, clients_per_round=3))
    assert len(picks) == 40
    for pick in picks:
        assert len(pick) == len(set(pick)) == 3
        assert pick == sorted(pick)
    assert {i for pick in picks for i in pick} == set(range(8))
    assert len({tuple(pick) for pick in picks}) > 10


def test_clients_without_images_are_never_drawn(run: MakeRun) -> None:
    assert chosen(run(equal_clients(4, empty=[0, 2]))) == [[1, 3]] * 3
    assert {i for pick in chosen(run(equal_clients(5, [1]), rounds=20, clients_per_round=2)) for i in pick} == {
        0,
        2,
        3,
        4,
    }
    assert chosen(run(equal_clients(3, [1]), clients_per_round=3)) == [[0, 2]] * 3


def test_runs_of_equal_seeds_are_paired_whatever_the_fill(run: MakeRun) -> None:
    """A fill and a budget change what a client has and how long it trains, not who is drawn, nor any seed."""
    bare = equal_clients(8)
    filled = [replace(one, extra=slice(0, 7), steps=one.steps + 8) for one in bare]
    scripts = [Script(), Script(), Script()]
    for script, clients, seed in zip(scripts, (bare, filled, bare), (1, 1, 2), strict=True):
        script.play(run(clients, rounds=6, clients_per_round=3, seed=seed))
    numbers, same, other = (
        [[(task.client.steps - 1) % 8 for task in tasks] for tasks in script.trained] for script in scripts
    )
    assert numbers == same != other
    batch_seeds, equal, different = ([[task.seed for task in tasks] for tasks in script.trained] for script in scripts)
    assert batch_seeds == equal != different
    first, filled_first, other_first = (script.trained[0][0].weights for script in scripts)
    assert np.array_equal(first, filled_first)
    assert not np.array_equal(first, other_first)


def test_every_client_and_round_has_a_batch_seed_of_its_own(run: MakeRun) -> None:
    script = Script()
    script.play(run(rounds=5))
    used = [task.seed for tasks in script.trained for task in tasks]
    assert len(set(used)) == len(used) == 15


def test_tasks_given_out_earlier_keep_their_weights(run: MakeRun) -> None:
    """Weights are shared between tasks, so a new round must not write into those of an earlier one."""
    script, made = Script(), run()
    script.play(made)
    start = FlatModel("simple-cnn", 3, 16, seeds.derive(made.seed, "weights")).vector.numpy()
    assert np.array_equal(script.trained[0][0].weights, start)
