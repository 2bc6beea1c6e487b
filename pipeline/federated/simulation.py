"""One federated run: rounds of choosing clients, training them, averaging, testing.

A run is a generator: it yields the tasks of a round and is sent their results. Who carries them out, and beside which
other runs, is the executor's business (``workers``), and changes no bit: every task computes on one thread from what it
is given, and results are used in order of client.
"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field

import numpy as np

from pipeline import seeds
from pipeline.federated.algorithms import fedavg
from pipeline.federated.local import Hyper, Vector
from pipeline.federated.models import FlatModel

BYTES_PER_WEIGHT = 4


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
    """Train one client from ``weights``; the result is its weights and the number of samples it used."""

    client: Client
    weights: Vector
    seed: int


@dataclass(frozen=True)
class EvalTask:
    """Test ``weights``; the result is accuracy and loss."""

    weights: Vector


Task = TrainTask | EvalTask
TrainResult = tuple[Vector, int]
EvalResult = tuple[float, float]


@dataclass(frozen=True)
class Run:
    """Everything that decides a run, beside the images."""

    clients: tuple[Client, ...]
    model: str
    classes: int
    image_size: int
    hyper: Hyper
    rounds: int
    clients_per_round: int | None
    eval_every: int
    seed: int
    """Decides initial weights, choice of clients and order of batches: runs with equal seeds are paired."""


@dataclass
class Round:
    """What one round did; accuracy and loss are None if its weights were not tested."""

    number: int
    samples: int
    steps: int
    bytes_down: int
    bytes_up: int
    accuracy: float | None = None
    loss: float | None = None


@dataclass
class Outcome:
    """What a run leaves: its rounds, and the final weights."""

    rounds: list[Round] = field(default_factory=list)
    weights: Vector = field(default_factory=lambda: np.empty(0, np.float32))


def simulate(run: Run) -> Generator[Sequence[Task], Sequence[TrainResult | EvalResult], Outcome]:
    """Yield each round's tasks, expect their results in the same order, and return the outcome.

    The test of a round's weights is asked for together with the next round's training, since neither waits for the
    other.
    """
    outcome = Outcome()
    seed = seeds.derive(run.seed, "weights")
    weights = FlatModel(run.model, run.classes, run.image_size, seed).vector.numpy().copy()
    to_test: Round | None = None
    for number in range(1, run.rounds + 1):
        chosen = _choose(run, number)
        train: list[Task] = [
            TrainTask(run.clients[i], weights, seeds.derive(run.seed, "batches", number, i)) for i in chosen
        ]
        results = yield train + ([EvalTask(weights)] if to_test is not None else [])
        _note_test(to_test, results[len(train) :])
        trained = results[: len(train)]
        updates = [update for update, _ in trained if isinstance(update, np.ndarray)]
        weights = fedavg.aggregate(weights, updates, [run.clients[i].size for i in chosen])
        sent = fedavg.SENT * BYTES_PER_WEIGHT * len(weights) * len(chosen)
        done = Round(
            number, sum(int(count) for _, count in trained), sum(run.clients[i].steps for i in chosen), sent, sent
        )
        outcome.rounds.append(done)
        to_test = done if number % run.eval_every == 0 or number == run.rounds else None
    _note_test(to_test, (yield [EvalTask(weights)]))
    outcome.weights = weights
    return outcome


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


def _note_test(tested: Round | None, results: Sequence[TrainResult | EvalResult]) -> None:
    if tested is not None:
        accuracy, loss = results[0]
        assert isinstance(accuracy, float)
        tested.accuracy, tested.loss = accuracy, loss
