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
from pipeline.artifacts.history import Participation, Round, reached
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
    """The local learning rate over the rounds."""

    start: float
    kind: str
    """``constant``; ``exponential``: times ``decay`` each round; ``cosine``: half a cosine, which ends at 0."""
    decay: float = 1.0

    def rate(self, done: float, rounds: int) -> float:
        """Return the rate after so many of the rounds; half a round is half of the steps of one."""
        if self.kind == "cosine":
            return self.start * (1 + cos(pi * done / rounds)) / 2
        return self.start * (self.decay**done if self.kind == "exponential" else 1.0)


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
    """Accuracy on the test images that ends the run, reached in two tests in a row; None: after all rounds."""
    seed: int
    """Decides initial weights, choice of clients and order of batches: runs with equal seeds are paired."""
    last_rounds: int = 1
    """Rounds at the run's end, each of which is tested, and whose weights are averaged."""
    start: str | None = None
    """Digest of the run whose last weights this one starts from; None: from random ones, which the seed decides."""
    alone: bool = False
    """Whether each client trains alone, without a server (see ``alone``); the rounds then only say how long."""
    dropouts: tuple[tuple[int, int], ...] = field(default=(), repr=False)
    """Rounds and clients, ascending, of updates that do not arrive. They enter the run's digest by themselves, so that
    that of a run without any is as if there were no such field."""


@dataclass
class RunState:
    """The state of a run after some rounds: all that it needs to continue, and at the end its result."""

    state: State
    """Of the server."""
    client_states: dict[int, State] = field(default_factory=dict)
    """What clients keep between rounds, by client."""
    rounds: list[Round] = field(default_factory=list)
    recent: list[Vector] = field(default_factory=list)
    """Global weights after the last rounds, the oldest first, as far as their average may be asked for."""

    @property
    def weights(self) -> Vector:
        return self.state[WEIGHTS]


def begin(run: Run, start: Vector | None = None) -> RunState:
    """Return the state of a run before its first round; ``start`` are the weights that ``run.start`` names."""
    if (run.start is None) != (start is None):
        raise ValueError("a run starts from weights if and only if it names where they come from")
    if start is not None:
        return RunState(run.algorithm.start(start.copy()))
    seed = seeds.derive(run.seed, "weights")
    model = FlatModel(run.model, run.norm, len(run.tests), run.image_size, seed)
    return RunState(run.algorithm.start(model.vector.numpy().copy()))


def simulate(
    run: Run, at: RunState, on_round: Callable[[RunState], None] = lambda _: None
) -> Generator[Sequence[Task], Sequence[Result], RunState]:
    """Yield each round's tasks, expect their results in the same order, and return the run's last state.

    Continues from ``at``, which may come from an earlier, interrupted run. ``on_round`` is called at the end of each
    round. The test of a round's weights is asked for together with the next round's training, since neither waits for
    the other. At the end the average of the last rounds' weights is tested, too.

    A client that drops out receives the weights and trains, but nothing of that arrives, and it keeps none of it: it is
    as it was before the round. So nobody has to compute it.
    """
    algorithm, trainable = run.algorithm, _trainable(run)
    total, lost = sum(client.weight for client in run.clients), frozenset(run.dropouts)
    for number in range(len(at.rounds) + 1, run.rounds + 1):
        chosen, broadcast = choose(run, number), algorithm.broadcast(at.state)
        arriving = [client for client in chosen if (number, client) not in lost]
        train = [_train_task(run, at, broadcast, number, client) for client in arriving]
        results = yield [*train, *(tests(run, at.weights) if _due(run, at) else [])]
        _note(run, at, results[len(train) :])
        if run.stop_at is not None and reached(at.rounds, run.stop_at):
            break
        updates = [update for update in results[: len(train)] if isinstance(update, Update)]
        at.state = algorithm.aggregate(at.state, updates, trainable, total)
        by_client = dict(zip(arriving, updates, strict=True))
        at.client_states |= {i: one.client_state for i, one in by_client.items() if one.client_state}
        sent = _size(broadcast)
        took_part = tuple(_participation(run, client, sent, by_client.get(client)) for client in chosen)
        at.rounds.append(Round(number, took_part))
        if run.stop_at is not None or number > run.rounds - run.last_rounds:
            at.recent = [*at.recent, at.weights][-run.last_rounds :]
        on_round(at)
    return (yield from _finish(run, at))


def _finish(run: Run, at: RunState) -> Generator[Sequence[Task], Sequence[Result], RunState]:
    """Test the last weights, unless they were tested, and the average of those of the last rounds."""
    last = tests(run, at.weights) if _due(run, at) else []
    averaged = tests(run, mean(at.recent)) if len(at.recent) > 1 else []
    results = (yield [*last, *averaged]) if last or averaged else []
    _note(run, at, results[: len(last)])
    found = score(run, results[len(last) :])[0] if averaged else at.rounds[-1].accuracy
    at.rounds[-1] = replace(at.rounds[-1], averaged=found)
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
        learning_rate=run.schedule.rate(number - 1, run.rounds),
        samples=run.clients[client].samples,
        weight=run.clients[client].weight,
        seed=seeds.derive(run.seed, "batches", number, client),
    )


def _participation(run: Run, client: int, sent: int, update: Update | None) -> Participation:
    """Return what a client of a round did; without an update it did the same work, and nothing of it arrived."""
    if update is not None:
        return Participation(client, update.samples, update.steps, sent, _size(update.up))
    samples = run.clients[client].samples
    return Participation(client, samples, -(-samples // run.settings.batch_size), sent, 0)


def _trainable(run: Run) -> int:
    """Return how many of the weights are parameters; buffers follow them."""
    return len(FlatModel(run.model, run.norm, len(run.tests), run.image_size).parameters)


def _due(run: Run, at: RunState) -> bool:
    """Tell whether the last round's weights are to be tested and were not."""
    if not at.rounds or at.rounds[-1].accuracy is not None:
        return False
    number = at.rounds[-1].number
    return number % run.eval_every == 0 or number > run.rounds - run.last_rounds


def mean(vectors: Sequence[Vector]) -> Vector:
    """Return the mean of weights (P,), summed in the order given in float64."""
    total = np.zeros(vectors[0].shape, np.float64)
    for vector in vectors:
        total += vector
    return (total / len(vectors)).astype(np.float32)


def tests(run: Run, weights: Vector) -> list[Task]:
    """Return the tasks that test weights on all test images."""
    total, broadcast = sum(run.tests), {WEIGHTS: weights}
    return [EvalTask(broadcast, slice(i, min(i + _TEST_PART, total))) for i in range(0, total, _TEST_PART)]


def score(run: Run, results: Sequence[Result]) -> tuple[float, float, tuple[float | None, ...]]:
    """Return accuracy, mean loss and accuracy by class from the scores of all test images."""
    parts = [part for part in results if isinstance(part, Score)]
    right, total = np.sum([part.right for part in parts], axis=0), sum(run.tests)
    by_class = tuple(int(good) / count if count else None for good, count in zip(right, run.tests, strict=True))
    return int(right.sum()) / total, sum(part.loss for part in parts) / total, by_class


def _note(run: Run, at: RunState, results: Sequence[Result]) -> None:
    if results:
        accuracy, loss, by_class = score(run, results)
        at.rounds[-1] = replace(at.rounds[-1], accuracy=accuracy, loss=loss, by_class=by_class)


def _size(state: State) -> int:
    return sum(vector.nbytes for vector in state.values())
