"""One federated run: rounds of choosing clients, training them, aggregating, testing.

A run is a generator: it yields the tasks of a round and is sent their results. Who carries them out, and beside which
other runs, is the executor's business (``workers``), and changes no bit: every task computes on one thread from what it
is given, and results are used in order of client.
"""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field, replace
from math import cos, pi

import numpy as np

from pipeline import seeds
from pipeline.artifacts.history import Participation, Round
from pipeline.federated.algorithm import WEIGHTS, Algorithm, LocalSettings, State, Update, Vector
from pipeline.federated.local import Normalisation
from pipeline.federated.models import FlatModel

_TEST_PART = 500  # test images in one task: workers share a test, and its small tasks fill the end of a round


@dataclass(frozen=True)
class Client:
    """What a run knows of a client."""

    weight: int
    """What it counts in averages, such as the images that it trains on; with 0 it sits out."""
    samples: int
    """Images that it draws each round."""


@dataclass(frozen=True)
class TrainTask:
    """Train one client; the result is its Update."""

    client: int
    algorithm: Algorithm
    broadcast: State
    client_state: State
    learning_rate: float
    samples: int
    weight: int
    seed: int


@dataclass(frozen=True)
class EvalTask:
    """Test weights on a stretch of the test images; the result is a Score."""

    broadcast: State
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
    """``constant``; ``exponential``: times ``decay`` each round; ``cosine``: half a cosine, which ends at 0."""
    decay: float = 1.0

    def rate(self, number: int, rounds: int) -> float:
        """Return the rate of a round, counted from 1."""
        if self.kind == "cosine":
            return self.start * (1 + cos(pi * (number - 1) / rounds)) / 2
        return self.start * (self.decay ** (number - 1) if self.kind == "exponential" else 1.0)


@dataclass(frozen=True)
class Run:
    """Everything that decides a run."""

    clients: tuple[Client, ...]
    images: str
    """Digest of the images that the clients and the test hold, and of who holds which."""
    normalisation: Normalisation
    algorithm: Algorithm
    model: str
    norm: str
    image_size: int
    tests: tuple[int, ...]
    """Test images of each class."""
    settings: LocalSettings
    schedule: Schedule
    rounds: int
    clients_per_round: int | None
    eval_every: int
    stop_at: float | None
    """Accuracy on the test images at which the run ends; None: after all rounds."""
    seed: int
    """Decides initial weights, choice of clients and order of batches: runs with equal seeds are paired."""


@dataclass
class RunState:
    """The state of a run after some rounds: all that it needs to continue, and at the end its result."""

    state: State
    """Of the server."""
    client_states: dict[int, State] = field(default_factory=dict)
    """What clients keep between rounds, by client."""
    rounds: list[Round] = field(default_factory=list)

    @property
    def weights(self) -> Vector:
        return self.state[WEIGHTS]


def begin(run: Run) -> RunState:
    """Return the state of a run before its first round."""
    seed = seeds.derive(run.seed, "weights")
    model = FlatModel(run.model, run.norm, len(run.tests), run.image_size, seed)
    return RunState(run.algorithm.start(model.vector.numpy().copy()))


def simulate(
    run: Run, at: RunState, on_round: Callable[[RunState], None] = lambda _: None
) -> Generator[Sequence[Task], Sequence[Result], RunState]:
    """Yield each round's tasks, expect their results in the same order, and return the run's last state.

    Continues from ``at``, which may come from an earlier, interrupted run. ``on_round`` is called at the end of each
    round. The test of a round's weights is asked for together with the next round's training, since neither waits for
    the other.
    """
    algorithm, trainable = run.algorithm, _trainable(run)
    total = sum(client.weight for client in run.clients)
    for number in range(len(at.rounds) + 1, run.rounds + 1):
        chosen, broadcast = choose(run, number), algorithm.broadcast(at.state)
        train = [_train_task(run, at, broadcast, number, client) for client in chosen]
        tests = _tests(run, broadcast) if _due(run, at) else []
        results = yield [*train, *tests]
        _note(run, at, results[len(train) :])
        if _reached(run, at):
            return at
        updates = [update for update in results[: len(train)] if isinstance(update, Update)]
        at.state = algorithm.aggregate(at.state, updates, trainable, total)
        at.client_states |= {i: one.client_state for i, one in zip(chosen, updates, strict=True) if one.client_state}
        sent = _size(broadcast)
        took_part = (
            Participation(client, update.samples, update.steps, sent, _size(update.up))
            for client, update in zip(chosen, updates, strict=True)
        )
        at.rounds.append(Round(number, tuple(took_part)))
        on_round(at)
    if _due(run, at):
        _note(run, at, (yield _tests(run, algorithm.broadcast(at.state))))
    return at


def choose(run: Run, number: int) -> list[int]:
    """Return the clients of a round in ascending order; one that has nothing to train on may be drawn, and sits out.

    It is drawn all the same, so that the choice depends on no fill.
    """
    everyone = range(len(run.clients))
    if run.clients_per_round is None or run.clients_per_round >= len(everyone):
        chosen = list(everyone)
    else:
        drawn = seeds.generator(run.seed, "clients", number).choice(everyone, run.clients_per_round, replace=False)
        chosen = sorted(drawn.tolist())
    return [i for i in chosen if run.clients[i].weight]


def _train_task(run: Run, at: RunState, broadcast: State, number: int, client: int) -> Task:
    return TrainTask(
        client=client,
        algorithm=run.algorithm,
        broadcast=broadcast,
        client_state=at.client_states.get(client, {}),
        learning_rate=run.schedule.rate(number, run.rounds),
        samples=run.clients[client].samples,
        weight=run.clients[client].weight,
        seed=seeds.derive(run.seed, "batches", number, client),
    )


def _trainable(run: Run) -> int:
    """Return how many of the weights are parameters; buffers follow them."""
    return len(FlatModel(run.model, run.norm, len(run.tests), run.image_size).parameters)


def _due(run: Run, at: RunState) -> bool:
    """Tell whether the last round's weights are to be tested and were not."""
    if not at.rounds or at.rounds[-1].accuracy is not None:
        return False
    return at.rounds[-1].number % run.eval_every == 0 or at.rounds[-1].number == run.rounds


def _tests(run: Run, broadcast: State) -> list[Task]:
    total = sum(run.tests)
    weights = {WEIGHTS: broadcast[WEIGHTS]} if len(broadcast) > 1 else broadcast
    return [EvalTask(weights, slice(i, min(i + _TEST_PART, total))) for i in range(0, total, _TEST_PART)]


def _note(run: Run, at: RunState, results: Sequence[Result]) -> None:
    scores = [score for score in results if isinstance(score, Score)]
    if not scores:
        return
    right, total = np.sum([score.right for score in scores], axis=0), sum(run.tests)
    at.rounds[-1] = replace(
        at.rounds[-1],
        accuracy=int(right.sum()) / total,
        loss=sum(score.loss for score in scores) / total,
        by_class=tuple(int(good) / count if count else None for good, count in zip(right, run.tests, strict=True)),
    )


def _reached(run: Run, at: RunState) -> bool:
    accuracy = at.rounds[-1].accuracy if at.rounds else None
    return run.stop_at is not None and accuracy is not None and accuracy >= run.stop_at


def _size(state: State) -> int:
    return sum(vector.nbytes for vector in state.values())
