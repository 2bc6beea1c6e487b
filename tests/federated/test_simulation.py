from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from math import sqrt

import numpy as np
import pytest

from pipeline import seeds
from pipeline.artifacts.history import RunHistory
from pipeline.federated.algorithm import WEIGHTS, Update
from pipeline.federated.models import FlatModel
from pipeline.federated.simulation import (
    Client,
    EvalTask,
    Run,
    RunState,
    Schedule,
    Score,
    Task,
    TrainTask,
    begin,
    mean,
    simulate,
)
from pipeline.reporting import content
from pipeline.reporting.arms import ArmRuns

MakeRun = Callable[..., Run]
GAIN = 13 / 7
"""What a round of the run's own three clients adds to every weight."""


@dataclass
class Script:
    """Answers a run's tasks by a rule that can be followed by hand, and keeps what was asked.

    Training adds the client's number of steps, batches of 6 samples, to every weight, and appends that number to what
    the client keeps. A test
    recognises one image of the first class for each GAIN that the weights have moved by, and every loss is the number
    of questions asked so far.
    """

    asked: list[Sequence[Task]] = field(default_factory=list)
    start: float = 0.0
    kept: bool = False
    """Whether clients keep anything."""

    def play(self, run: Run) -> RunState:
        at = begin(run)
        self.start = float(at.weights.mean(dtype=np.float64))
        execution = simulate(run, at)
        tasks = next(execution)
        while True:
            self.asked.append(tasks)
            try:
                tasks = execution.send([self.answer(task) for task in tasks])
            except StopIteration as end:
                last: RunState = end.value
                return last

    def answer(self, task: Task) -> Update | Score:
        if isinstance(task, TrainTask):
            steps = -(-task.samples // 6)
            own = (
                {"steps": np.append(task.client_state.get("steps", []), steps).astype(np.float32)} if self.kept else {}
            )
            moved_to = {WEIGHTS: task.broadcast[WEIGHTS] + np.float32(steps)}
            return Update(moved_to, own, task.weight, steps, task.samples)
        moved = float(task.broadcast[WEIGHTS].mean(dtype=np.float64)) - self.start
        return Score((round(moved / GAIN), 0, 0), (task.part.stop - task.part.start) * float(len(self.asked)))

    @property
    def trained(self) -> list[list[TrainTask]]:
        return [[task for task in tasks if isinstance(task, TrainTask)] for tasks in self.asked]


def initial(run: Run) -> FlatModel:
    return FlatModel("simple-cnn", "group", 3, 16, seeds.derive(run.seed, "weights"))


def equal_clients(count: int, empty: Sequence[int] = ()) -> list[Client]:
    """Clients of ten images each, none for those in ``empty``; client i takes i + 1 steps."""
    return [Client(0 if i in empty else 10, 6 * (i + 1)) for i in range(count)]


def test_weights_move_by_the_weighted_mean_of_what_clients_did(run: MakeRun) -> None:
    """The clients have 16, 10 and 16 of 42 images and add 2, 3 and 1: each round adds (32 + 30 + 16) / 42 = 13 / 7."""
    script, made = Script(), run()
    outcome = script.play(made)
    start = initial(made).vector.numpy()
    np.testing.assert_allclose(outcome.weights, start + 3 * GAIN, rtol=1e-4, atol=1e-5)
    for number, tasks in enumerate(script.trained):
        for task in tasks:
            np.testing.assert_allclose(task.broadcast[WEIGHTS], start + number * GAIN, rtol=1e-4, atol=1e-5)


def test_the_report_counts_the_bytes_of_one_client_however_many_take_part(run: MakeRun) -> None:
    """One client of ten each round, and four of five of which one has nothing: each receives 4 bytes a weight."""
    for made in (run(equal_clients(10), clients_per_round=1), run(equal_clients(5, empty=[3]))):
        outcome = Script().play(made)
        history = RunHistory("none", "fedavg", "epochs", 1, tuple(outcome.rounds))
        arm = ArmRuns("fedavg", "epochs", "none", {1: history})
        assert content.weight_bytes([arm]) == f"{4 * len(outcome.weights):,}"


def test_rounds_by_hand(run: MakeRun) -> None:
    """Three clients take 2 + 3 + 1 steps on 12 + 16 + 6 images; the model goes to three and back, 4 bytes a weight."""
    outcome = Script().play(run())
    size = 4 * 3 * len(outcome.weights)
    assert [done.number for done in outcome.rounds] == [1, 2, 3]
    for done in outcome.rounds:
        assert (done.samples, done.steps, done.bytes_down, done.bytes_up) == (34, 6, size, size)


def test_a_test_is_of_the_weights_that_its_round_left(run: MakeRun) -> None:
    """The test of a round is asked for with the next round's training, and the last one by itself.

    Of the nine images one is recognised after the first round, two after the second, three after the third.
    """
    script = Script()
    outcome = script.play(run())
    assert [done.accuracy for done in outcome.rounds] == [1 / 9, 2 / 9, 3 / 9]
    assert [done.by_class for done in outcome.rounds] == [(1 / 3, 0.0, 0.0), (2 / 3, 0.0, 0.0), (1.0, 0.0, 0.0)]
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
    """Return each round's clients."""
    script = Script()
    script.play(run)
    return [[task.client for task in tasks] for tasks in script.trained if tasks]


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
    filled = [replace(one, weight=one.weight + 7, samples=one.samples + 48) for one in bare]
    scripts = [Script(), Script(), Script()]
    for script, clients, seed in zip(scripts, (bare, filled, bare), (1, 1, 2), strict=True):
        script.play(run(clients, rounds=6, clients_per_round=3, seed=seed))
    numbers, same, other = ([[task.client for task in tasks] for tasks in script.trained] for script in scripts)
    assert numbers == same != other
    batch_seeds, equal, different = ([[task.seed for task in tasks] for tasks in script.trained] for script in scripts)
    assert batch_seeds == equal != different
    first, filled_first, other_first = (script.trained[0][0].broadcast[WEIGHTS] for script in scripts)
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
    start = initial(made).vector.numpy()
    assert np.array_equal(script.trained[0][0].broadcast[WEIGHTS], start)


def test_a_big_test_is_cut_into_parts_that_add_up(run: MakeRun) -> None:
    """400, 600 and 1 images are tested in 500, 500 and 1.

    The parts find 198 and 22, 2 and 180, and 1 images: 200 of 400, 202 of 600 and 1 of 1 by class.
    """
    execution = simulate(made := replace(run(rounds=1), tests=(400, 600, 1)), at := begin(made))
    train = next(execution)
    parts = execution.send([Script().answer(task) for task in train])
    assert all(isinstance(task, EvalTask) for task in parts)
    assert [task.part for task in parts if isinstance(task, EvalTask)] == [
        slice(0, 500),
        slice(500, 1_000),
        slice(1_000, 1_001),
    ]
    with pytest.raises(StopIteration):
        execution.send([Score((198, 22, 0), 500.0), Score((2, 180, 0), 1_000.0), Score((0, 0, 1), 2.0)])
    assert at.rounds[0].by_class == (200 / 400, 202 / 600, 1.0)
    assert at.rounds[0].accuracy == 403 / 1_001
    assert at.rounds[0].loss == 1_502 / 1_001


def test_a_class_without_test_images_has_no_accuracy(run: MakeRun) -> None:
    outcome = Script().play(replace(run(), tests=(6, 0, 4)))
    assert [done.by_class for done in outcome.rounds] == [(n / 6, None, 0.0) for n in (1, 2, 3)]
    assert [done.accuracy for done in outcome.rounds] == [1 / 10, 2 / 10, 3 / 10]


@pytest.mark.parametrize(
    ("stop_at", "every", "last"),
    [
        (2 / 9, 1, 3),
        (0.3, 1, 4),
        (3 / 9, 2, 6),
        (2 / 9, 2, 4),
        (5 / 9, 1, 6),
        (6 / 9, 1, 6),
        (0.7, 1, 6),
        (1 / 9, 9, 6),
    ],
)
def test_a_run_stops_when_two_tests_in_a_row_are_good_enough(
    run: MakeRun, stop_at: float, every: int, last: int
) -> None:
    """After n rounds n of nine images are recognised; the training that was asked for beside the test is thrown away.

    So 2 / 9 are confirmed after round 3, 0.3 after round 4, and if only every second round is tested 2 / 9 in round 4
    and 3 / 9 in round 6; 6 / 9 are reached once, in the last of six rounds, and 0.7 never.
    """
    script, made = Script(), replace(run(rounds=6, eval_every=every), stop_at=stop_at, tests=(9, 0, 0))
    outcome = script.play(made)
    assert [done.number for done in outcome.rounds] == list(range(1, last + 1))
    assert outcome.rounds[-1].accuracy == last / 9
    np.testing.assert_allclose(outcome.weights, initial(made).vector.numpy() + last * GAIN, rtol=1e-4, atol=1e-5)
    assert [len(tasks) for tasks in script.trained] == [3] * 6 + [0] if last == 6 else [3] * (last + 1)


@pytest.mark.parametrize(
    ("rounds", "every", "last", "tested"),
    [(6, 4, 3, [4, 5, 6]), (6, 2, 3, [2, 4, 5, 6]), (3, 9, 5, [1, 2, 3]), (5, 5, 1, [5])],
)
def test_every_one_of_the_last_rounds_is_tested(
    run: MakeRun, rounds: int, every: int, last: int, tested: list[int]
) -> None:
    outcome = Script().play(replace(run(rounds=rounds, eval_every=every), last_rounds=last))
    assert [done.number for done in outcome.rounds if done.accuracy is not None] == tested


@pytest.mark.parametrize(
    ("rounds", "last", "stop_at", "ends", "averaged"),
    [
        (5, 3, None, 5, 4),
        (5, 1, None, 5, 5),
        (3, 5, None, 3, 2),
        (7, 3, 3 / 9, 4, 3),
        (7, 5, 1 / 9, 2, 2),
        (7, 7, 1.0, 7, 4),
    ],
)
def test_the_average_of_the_last_weights_is_tested_once_at_the_end(
    run: MakeRun, rounds: int, last: int, stop_at: float | None, ends: int, averaged: int
) -> None:
    """After n rounds the weights recognise n of nine images, and the mean of rounds 3, 4 and 5 recognises 4.

    A single round is its own average and costs no test; a run of three rounds averages all it has, (1 + 2 + 3) / 3. A
    run that ends after round 4, since 3 / 9 are reached in rounds 3 and 4, averages rounds 2, 3 and 4; one that ends
    after round 2 has 1.5, which rounds to 2.
    """
    script, made = Script(), replace(run(rounds=rounds), last_rounds=last, stop_at=stop_at, tests=(9, 0, 0))
    outcome = script.play(made)
    assert len(outcome.rounds) == ends
    assert outcome.rounds[-1].accuracy == ends / 9
    assert [done.averaged for done in outcome.rounds] == [None] * (ends - 1) + [averaged / 9]
    asked = sum(isinstance(task, EvalTask) for tasks in script.asked for task in tasks)
    assert asked == ends + (min(last, ends) > 1)
    np.testing.assert_allclose(outcome.weights, initial(made).vector.numpy() + ends * GAIN, rtol=1e-4, atol=1e-5)


def test_the_mean_of_weights_is_computed_in_float64() -> None:
    """(2^24 + 1 + 1) / 3 = 5592406; in float32 both ones are lost beside 2^24, and 2^24 / 3 rounds to 5592405.5."""
    vectors = [np.array([2.0**24], np.float32), np.ones(1, np.float32), np.ones(1, np.float32)]
    assert mean(vectors).tolist() == [5_592_406.0]
    assert mean(vectors).dtype == np.float32


def test_a_run_that_starts_from_other_weights_begins_with_a_copy_of_them(run: MakeRun) -> None:
    made, weights = replace(run(), start="digest"), initial(run()).vector.numpy() + 1
    at = begin(made, weights)
    assert np.array_equal(at.weights, weights)
    assert at.weights is not weights
    for one, given in ((made, None), (run(), weights)):
        with pytest.raises(ValueError, match="if and only if"):
            begin(one, given)


def test_what_clients_keep_reaches_them_again_and_nobody_else(run: MakeRun) -> None:
    """Client i appends i + 1 to what it keeps each time that it takes part."""
    script = Script(kept=True)
    outcome = script.play(run(equal_clients(6), rounds=12, clients_per_round=2))
    times = dict.fromkeys(range(6), 0)
    for tasks in script.trained:
        for task in tasks:
            number = task.client
            expected = {"steps": [number + 1] * times[number]} if times[number] else {}
            assert {name: vector.tolist() for name, vector in task.client_state.items()} == expected
            times[number] += 1
    assert max(times.values()) > 2
    kept = {number: own["steps"].tolist() for number, own in outcome.client_states.items()}
    assert kept == {number: [number + 1] * count for number, count in times.items() if count}


def test_each_round_is_reported_when_it_is_over(run: MakeRun) -> None:
    """Its weights are there and not yet tested."""
    seen: list[tuple[int, float | None, float]] = []

    def note(at: RunState) -> None:
        seen.append((at.rounds[-1].number, at.rounds[-1].accuracy, float(at.weights.mean(dtype=np.float64))))

    execution = simulate(made := run(), at := begin(made), note)
    start, script, tasks = float(at.weights.mean(dtype=np.float64)), Script(), next(execution)
    while len(seen) < 3:
        tasks = execution.send([script.answer(task) for task in tasks])
    assert [(number, accuracy) for number, accuracy, _ in seen] == [(1, None), (2, None), (3, None)]
    assert [mean for *_, mean in seen] == pytest.approx([start + n * GAIN for n in (1, 2, 3)], rel=1e-4)


@pytest.mark.parametrize(
    ("schedule", "rates"),
    [
        (Schedule(0.08, "constant", 0.5), [0.08, 0.08, 0.08, 0.08]),
        (Schedule(0.08, "exponential", 0.5), [0.08, 0.04, 0.02, 0.01]),
        (Schedule(0.08, "cosine", 0.5), [0.08, 0.04 * (1 + sqrt(0.5)), 0.04, 0.04 * (1 - sqrt(0.5))]),
    ],
)
def test_every_round_has_its_learning_rate(run: MakeRun, schedule: Schedule, rates: list[float]) -> None:
    """The cosine of 0, 45, 90 and 135 degrees is 1, the root of 1/2, 0, and minus the root of 1/2."""
    script = Script()
    script.play(replace(run(rounds=4), schedule=schedule))
    for tasks, rate in zip(script.trained, rates, strict=False):
        assert [task.learning_rate for task in tasks] == pytest.approx([rate] * 3, rel=1e-12)
