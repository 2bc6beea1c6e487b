from collections.abc import Callable
from dataclasses import replace
from math import cos, pi

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from pipeline.artifacts.history import Participation
from pipeline.federated import alone
from pipeline.federated import inputs as federated
from pipeline.federated.algorithm import WEIGHTS, Update, Vector
from pipeline.federated.checkpoints import Checkpoint
from pipeline.federated.inputs import Inputs
from pipeline.federated.models import FlatModel
from pipeline.federated.simulation import Client, Run, Schedule, Score, Task, TrainTask, begin, choose
from pipeline.federated.worker import Worker
from pipeline.workspace import Workspace
from tests.federated.playing import Interrupted, play

MakeRun = Callable[..., Run]


def central(run: MakeRun, quarters: int, samples: int = 12, **others: object) -> Run:
    """A central run of the first client, which draws so many images a quarter, six a step."""
    made = run([Client(1, samples)], rounds=quarters)
    return replace(made, alone=True, schedule=Schedule(0.05, "cosine"), **others)  # type: ignore[arg-type]


def of_one_image(inputs: Inputs) -> Inputs:
    """The inputs of one client with one image, so that every batch of one is the same whatever the order."""
    return replace(inputs, clients=((np.array([4]), np.empty(0, np.int64)),))


def steps_by_hand(run: Run, inputs: Inputs, steps: int, of: int) -> Vector:
    """Take SGD steps on that image with torch's own optimiser, at the rates of a cosine over ``of`` steps."""
    model = FlatModel(run.model, run.norm, 3, 16)
    model.vector.copy_(torch.from_numpy(begin(run).weights))
    optimizer = torch.optim.SGD([model.parameters], lr=0.05, momentum=0.9, fused=True)
    normalise = run.normalisation.on(16, "cpu")
    images, labels = torch.from_numpy(inputs.sources[0].pixels[[4]]), torch.from_numpy(inputs.sources[0].labels[[4]])
    model.module.train()
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = 0.05 * (1 + cos(pi * step / of)) / 2
        model.gradient.zero_()
        F.cross_entropy(model.module(normalise(images)), labels).backward()
        optimizer.step()
    return model.vector.numpy()


def test_quarters_are_one_uninterrupted_training(inputs: Inputs, run: MakeRun) -> None:
    """Two quarters of three steps are six steps of torch's SGD with one momentum and one cosine, bit for bit.

    The weights of the first test are those of its first three steps; a client that is tested only at the end goes the
    same way.
    """
    one = of_one_image(inputs)
    settings = replace(run().settings, batch_size=1)
    halves = central(run, quarters=2, samples=3, settings=settings)
    task = next(alone.simulate(halves, begin(halves)))[0]
    update = Worker(one, halves).carry_out(task)
    assert isinstance(update, Update)
    assert sorted(update.up) == ["3", "6"]
    assert np.array_equal(update.up["3"], steps_by_hand(halves, one, 3, of=6))
    assert np.array_equal(update.up["6"], steps_by_hand(halves, one, 6, of=6))
    assert np.array_equal(play(halves, one).weights, update.up["6"])
    whole = replace(halves, rounds=1, clients=(Client(1, 6),))
    assert np.array_equal(play(whole, one).weights, update.up["6"])
    assert not np.array_equal(steps_by_hand(halves, one, 6, of=6), steps_by_hand(halves, one, 6, of=3))


def test_batches_and_random_streams_continue_too(inputs: Inputs, run: MakeRun) -> None:
    """With images shifted at random and passes that end inside a quarter, the number of tests changes no weight."""
    settings = replace(run().settings, augment="shift-mirror")
    ends = [play(central(run, quarters, samples=48 // quarters, settings=settings), inputs) for quarters in (1, 2, 4)]
    assert all(np.array_equal(end.weights, ends[0].weights) for end in ends)
    assert ends[1].rounds[1].accuracy == ends[2].rounds[3].accuracy == ends[0].rounds[0].accuracy
    assert ends[1].rounds[0].loss == ends[2].rounds[1].loss != ends[2].rounds[0].loss


def test_a_central_history_has_a_round_for_each_quarter_and_no_bytes(inputs: Inputs, run: MakeRun) -> None:
    """40 images in four quarters of ten, six a step: tests after steps 2, 4, 5 and 7, the last of four images."""
    end = play(central(run, quarters=4, samples=10), inputs)
    assert [done.number for done in end.rounds] == [1, 2, 3, 4]
    assert [done.participants for done in end.rounds] == [
        (Participation(0, samples, steps, 0, 0),) for samples, steps in ((12, 2), (12, 2), (6, 1), (10, 2))
    ]
    assert [done.averaged for done in end.rounds] == [None] * 3 + [end.rounds[-1].accuracy]


def test_rates_of_an_exponential_schedule_fall_step_by_step() -> None:
    """A factor 1/16 a round over two rounds and eight steps is a factor 1/2 a step."""
    assert [Schedule(1.0, "exponential", 1 / 16).rate(2 * step / 8, 2) for step in range(4)] == [1, 1 / 2, 1 / 4, 1 / 8]


def test_each_client_alone_is_a_central_run_of_what_it_holds(inputs: Inputs, run: MakeRun) -> None:
    """Three clients train for two rounds' samples, each from the same weights, and none is moved by the others."""
    made = federated.alone(replace(run(rounds=2), schedule=Schedule(0.05, "cosine")))
    end = play(made, inputs)
    assert [done.participants for done in end.rounds] == [
        (Participation(client, samples, steps, 0, 0),)
        for client, (samples, steps) in enumerate((2 * one.samples, -(-2 * one.samples // 6)) for one in made.clients)
    ]
    for client, done in enumerate(end.rounds):
        only = tuple(one if i == client else Client(0, 0) for i, one in enumerate(made.clients))
        (single,) = play(replace(made, clients=only), inputs).rounds
        assert (single.accuracy, single.loss, single.by_class) == (done.accuracy, done.loss, done.by_class)
    assert len({done.loss for done in end.rounds}) == 3


def test_clients_alone_train_as_long_as_in_all_rounds_in_which_they_are_drawn(inputs: Inputs, run: MakeRun) -> None:
    """One of three clients is drawn in each of five rounds; one that draws no image is left out."""
    made = federated.alone(run(rounds=5, clients_per_round=1))
    drawn = [client for number in range(1, 6) for client in choose(made, number)]
    tasks = next(alone.simulate(made, begin(made)))
    assert {task.client: task.samples for task in tasks if isinstance(task, TrainTask)} == {
        client: drawn.count(client) * made.clients[client].samples for client in set(drawn)
    }
    assert alone.rounds(made) == len(set(drawn)) == len(tasks)
    idle = federated.alone(run([Client(16, 12), Client(10, 0), Client(16, 6)]))
    assert [done.participants[0].client for done in play(idle, inputs).rounds] == [0, 2]


def test_clients_alone_are_trained_a_few_at_once(run: MakeRun) -> None:
    """Twenty clients, eight at a time: as many weights are in memory, and all start from the same ones."""
    made = federated.alone(run([Client(10, 6)] * 20, rounds=1))
    execution, asked = alone.simulate(made, begin(made)), list[int]()
    tasks: list[Task] = list(next(execution))
    while asked.count(8) < 2:
        assert all(isinstance(task, TrainTask) for task in tasks)
        asked.append(len(tasks))
        starts = {task.broadcast[WEIGHTS].tobytes() for task in tasks}
        assert starts == {begin(made).weights.tobytes()}
        steps = {"1": begin(made).weights}
        tests = execution.send([Update(steps, {}, 1, 1, 6) for _ in tasks])
        assert len(tests) == len(tasks)
        tasks = list(execution.send([Score((1, 1, 1), 9.0) for _ in tests]))
    assert len(tasks) == 4


@pytest.mark.parametrize("until", [1, 2, 3])
def test_a_run_that_is_interrupted_after_any_client_ends_the_same(
    inputs: Inputs, run: MakeRun, workspace: Workspace, until: int
) -> None:
    made = federated.alone(run(rounds=2))
    expected, kept = play(made, inputs), Checkpoint(workspace.checkpoints, "this run", made, 1)
    with pytest.raises(Interrupted):
        play(made, inputs, kept, until)
    stood = kept.load()
    assert stood is not None
    assert len(stood.rounds) == until
    end = play(made, inputs, kept)
    assert end.rounds == expected.rounds
    assert np.array_equal(end.weights, expected.weights)


def test_without_any_image_the_first_weights_are_tested(inputs: Inputs, run: MakeRun) -> None:
    """As for central-synthetic where no client lacks an image."""
    made = replace(central(run, quarters=4), clients=(Client(0, 0),))
    end = play(made, replace(inputs, clients=((np.empty(0, np.int64),) * 2,)))
    assert np.array_equal(end.weights, begin(made).weights)
    assert [done.participants for done in end.rounds] == [()] * 4
    assert len({done.accuracy for done in end.rounds}) == 1
    assert alone.rounds(made) == 4
