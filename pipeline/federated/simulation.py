"""One federated run: rounds of choosing clients, training them, aggregating, testing.

A run is a generator: it yields the tasks of a round and is sent their results. Who carries them out, and beside which
other runs, is the executor's business (``workers``), and changes no bit: every task computes on one thread from what it
is given, and results are used in order of client.
"""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from math import cos, pi

import numpy as np

from pipeline import seeds
from pipeline.federated.algorithms import FedAvg
from pipeline.federated.algorithms.fedavg import WEIGHTS, State, Update, Vector
from pipeline.federated.local import Hyper
from pipeline.federated.models import FlatModel

_TEST_PART = 500  # test images in one task: workers share a test, and its small tasks fill the end of a round


@dataclass(frozen=True)
class Client:
    """What one client trains on: a stretch of the real images, then a stretch of the fill's."""

    real: slice
    extra: slice
    steps: int
    """Local SGD steps it takes each round."""

    @property
    def size(self) -> int:
        return int(self.real.stop - self.real.start + self.extra.stop - self.extra.start)


@dataclass(frozen=True)
class TrainTask:
    """Train one client; the result is its Update."""

    client: Client
    algorithm: FedAvg
    down: State
    own: State
    rate: float
    seed: int


@dataclass(frozen=True)
class EvalTask:
    """Test weights on a stretch of the test images; the result is a Score."""

    down: State
    part: slice


@dataclass(frozen=True)
class Score:
    """How many images of each class were recognised, (classes,), and the sum of their cross-entropies."""

    right: tuple[int, ...]
    loss: float


Task = TrainTask | EvalTask
Result = Update | Score


@dataclass(frozen=True)
class Schedule:
    """The local learning rate, round by round."""

    start: float
    kind: str
    """``constant``; ``exponential``: times ``decay`` each round; ``cosine``: half a cosine, to nought at the end."""
    decay: float = 1.0

    def rate(self, number: int, rounds: int) -> float:
        """Return the rate of a round, counted from 1."""
        if self.kind == "cosine":
            return self.start * (1 + cos(pi * (number - 1) / rounds)) / 2
        return self.start * (self.decay ** (number - 1) if self.kind == "exponential" else 1.0)


@dataclass(frozen=True)
class Run:
    """Everything that decides a run, beside the images."""

    clients: tuple[Client, ...]
    algorithm: FedAvg
    model: str
    norm: str
    image_size: int
    tests: tuple[int, ...]
    """Test images of each class."""
    hyper: Hyper
    schedule: Schedule
    rounds: int
    clients_per_round: int | None
    eval_every: int
    stop_at: float | None
    """Accuracy on the test images at which the run ends; None: after all rounds."""
    seed: int
    """Decides initial weights, choice of clients and order of batches: runs with equal seeds are paired."""


@dataclass
class Round:
    """What one round did; accuracies and loss are None if its weights were not tested."""

    number: int
    samples: int
    steps: int
    bytes_down: int
    bytes_up: int
    accuracy: float | None = None
    loss: float | None = None
    by_class: tuple[float | None, ...] | None = None
    """Accuracy on the test images of each class; None for a class without any."""


@dataclass
class Progress:
    """Where a run stands after some rounds: all that it needs to go on, and at the end its result."""

    state: State
    own: dict[int, State] = field(default_factory=dict)
    """What clients keep between rounds, by client."""
    rounds: list[Round] = field(default_factory=list)

    @property
    def weights(self) -> Vector:
        return self.state[WEIGHTS]


def begin(run: Run) -> Progress:
    """Return where a run stands before its first round."""
    seed = seeds.derive(run.seed, "weights")
    model = FlatModel(run.model, run.norm, len(run.tests), run.image_size, seed)
    return Progress(run.algorithm.start(model.vector.numpy().copy()))


def simulate(
    run: Run, at: Progress, on_round: Callable[[Progress], None] = lambda _: None
) -> Generator[Sequence[Task], Sequence[Result], Progress]:
    """Yield each round's tasks, expect their results in the same order, and return where the run ends.

    Goes on from ``at``, which may come from an earlier, interrupted run. ``on_round`` sees each round's end. The test
    of a round's weights is asked for together with the next round's training, since neither waits for the other.
    """
    algorithm, parameters = run.algorithm, _parameters(run)
    for number in range(len(at.rounds) + 1, run.rounds + 1):
        chosen, down = _choose(run, number), algorithm.down(at.state)
        rate = run.schedule.rate(number, run.rounds)
        train: list[Task] = [
            TrainTask(
                run.clients[i], algorithm, down, at.own.get(i, {}), rate, seeds.derive(run.seed, "batches", number, i)
            )
            for i in chosen
        ]
        tests = _tests(run, down) if _due(run, at) else []
        results = yield [*train, *tests]
        _note(run, at, results[len(train) :])
        if _reached(run, at):
            return at
        updates = [update for update in results[: len(train)] if isinstance(update, Update)]
        at.state = algorithm.aggregate(at.state, updates, parameters, len(run.clients))
        at.own |= {i: update.own for i, update in zip(chosen, updates, strict=True) if update.own}
        at.rounds.append(
            Round(
                number=number,
                samples=sum(update.samples for update in updates),
                steps=sum(update.steps for update in updates),
                bytes_down=_size(down) * len(chosen),
                bytes_up=sum(_size(update.up) for update in updates),
            )
        )
        on_round(at)
    if _due(run, at):
        _note(run, at, (yield _tests(run, algorithm.down(at.state))))
    return at


def _parameters(run: Run) -> int:
    return len(FlatModel(run.model, run.norm, len(run.tests), run.image_size).parameters)


def _choose(run: Run, number: int) -> list[int]:
    """Return the round's clients in ascending order; one that has nothing to train on may be drawn, and sits out.

    It is drawn all the same, so that the choice hangs on no fill.
    """
    everyone = range(len(run.clients))
    if run.clients_per_round is None or run.clients_per_round >= len(everyone):
        chosen = list(everyone)
    else:
        drawn = seeds.generator(run.seed, "clients", number).choice(everyone, run.clients_per_round, replace=False)
        chosen = sorted(drawn.tolist())
    return [i for i in chosen if run.clients[i].size]


def _due(run: Run, at: Progress) -> bool:
    """Tell whether the last round's weights are to be tested and were not."""
    if not at.rounds or at.rounds[-1].accuracy is not None:
        return False
    return at.rounds[-1].number % run.eval_every == 0 or at.rounds[-1].number == run.rounds


def _tests(run: Run, down: State) -> list[Task]:
    total = sum(run.tests)
    weights = {WEIGHTS: down[WEIGHTS]} if len(down) > 1 else down
    return [EvalTask(weights, slice(i, min(i + _TEST_PART, total))) for i in range(0, total, _TEST_PART)]


def _note(run: Run, at: Progress, results: Sequence[Result]) -> None:
    scores = [score for score in results if isinstance(score, Score)]
    if not scores:
        return
    right, total = np.sum([score.right for score in scores], axis=0), sum(run.tests)
    tested = at.rounds[-1]
    tested.accuracy, tested.loss = int(right.sum()) / total, sum(score.loss for score in scores) / total
    tested.by_class = tuple(int(good) / count if count else None for good, count in zip(right, run.tests, strict=True))


def _reached(run: Run, at: Progress) -> bool:
    accuracy = at.rounds[-1].accuracy if at.rounds else None
    return run.stop_at is not None and accuracy is not None and accuracy >= run.stop_at


def _size(state: State) -> int:
    return sum(vector.nbytes for vector in state.values())
