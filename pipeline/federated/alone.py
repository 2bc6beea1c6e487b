"""Training without a federation: each client trains alone, from the run's first weights, in one piece.

A central run is one whose only client holds everything: it is tested after each quarter. Clients that train alone to be
compared with a federation are tested at their end. Either is one local training: momentum, order of images and random
streams continue from the first step to the last, and the learning rate falls step by step where that of a federated run
falls round by round: it is given out to clients once a round there, and here nothing holds it up. There is no server,
so nothing is sent.
"""

from collections import Counter
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from pipeline import seeds
from pipeline.artifacts.history import Participation, Round
from pipeline.federated.algorithm import WEIGHTS, Local, State, Update, Vector
from pipeline.federated.algorithms.fedavg import FedAvg
from pipeline.federated.simulation import (
    Result,
    Run,
    RunState,
    Schedule,
    Task,
    TrainTask,
    choose,
    score,
    tests,
)

_AT_ONCE = 8
"""Clients whose weights are in memory together; a run that is interrupted trains at most so many again."""


@dataclass(frozen=True)
class Uninterrupted(FedAvg):
    """SGD in one piece: the learning rate follows the schedule from step to step, and weights are kept on the way."""

    schedule: Schedule
    rounds: int
    """Of the schedule; they are spread evenly over the steps."""
    marks: tuple[int, ...]
    """Numbers of steps after which weights are kept, ascending; the last one is the number of all steps."""

    def before_step(self, local: Local) -> None:
        local.learning_rate = self.schedule.rate(self.rounds * local.steps / self.marks[-1], self.rounds)

    def after_step(self, local: Local) -> None:
        if local.steps in self.marks:
            local.scratch[str(local.steps)] = local.model.vector.clone()

    def end(self, local: Local) -> tuple[State, State]:
        return {name: weights.cpu().numpy() for name, weights in local.scratch.items()}, {}


def simulate(
    run: Run, at: RunState, on_round: Callable[[RunState], None] = lambda _: None
) -> Generator[Sequence[Task], Sequence[Result], RunState]:
    """Yield tasks, expect their results in the same order, and return the run's last state, as for a federated run.

    What a client does between two tests is a round of the history, and it is the only participant. ``on_round`` is
    called after each client's last test. The weights of the last state are those of the last client.
    """
    times, parts = _times(run), _parts(run)
    clients = sorted(times)[len(at.rounds) // parts :]
    for first in range(0, len(clients), _AT_ONCE):
        chosen = clients[first : first + _AT_ONCE]
        updates = yield [_task(run, at.state, client, times[client]) for client in chosen]
        ways = [_way(run, client, times[client], update) for client, update in zip(chosen, updates, strict=True)]
        asked = [tests(run, weights) for way in ways for _, weights in way]
        results = yield [task for of_one in asked for task in of_one]
        starts = np.cumsum([0, *map(len, asked)]).tolist()
        scores = iter([score(run, results[start:stop]) for start, stop in pairwise(starts)])
        for way in ways:
            for participation, weights in way:
                at.rounds.append(next(scores).added_to(Round(len(at.rounds) + 1, (participation,))))
                at.recent = [weights]
            on_round(at)
    if not times:  # nobody has an image, so the first weights stay
        found = score(run, (yield tests(run, at.weights)))
        at.rounds = [found.added_to(Round(number, ())) for number in range(1, parts + 1)]
    at.state = {WEIGHTS: at.recent[-1] if at.recent else at.weights}
    at.rounds[-1] = replace(at.rounds[-1], averaged=at.rounds[-1].accuracy)
    return at


def rounds(run: Run) -> int:
    """Return how many rounds the history of a run will have."""
    return _parts(run) * max(len(_times(run)), 1)


def _parts(run: Run) -> int:
    """Return how many times each client is tested."""
    return -(-run.rounds // run.eval_every)


def _times(run: Run) -> Counter[int]:
    """Return in how many rounds of a federated run each client takes part; those in none are left out."""
    return Counter(client for number in range(1, run.rounds + 1) for client in choose(run, number))


def _marks(run: Run, client: int, times: int) -> list[int]:
    """Return the numbers of samples after which a client is tested, ascending; the last one is that of all."""
    return [times * run.clients[client].samples * part // _parts(run) for part in range(1, _parts(run) + 1)]


def _task(run: Run, start: State, client: int, times: int) -> TrainTask:
    marks = _marks(run, client, times)
    steps = tuple(-(-samples // run.settings.batch_size) for samples in marks)
    return TrainTask(
        client=client,
        algorithm=Uninterrupted(run.schedule, run.rounds, steps),
        broadcast={WEIGHTS: start[WEIGHTS]},
        client_state={},
        learning_rate=run.schedule.rate(0, run.rounds),
        samples=marks[-1],
        weight=run.clients[client].weight,
        seed=seeds.derive(run.seed, "batches", "alone", client),
    )


def _way(run: Run, client: int, times: int, update: Result) -> list[tuple[Participation, Vector]]:
    """Return, for each part of a client's training, what it did and the weights that it then had."""
    if not isinstance(update, Update):
        raise TypeError(f"the result of a training is a {type(update).__name__}")
    size, made, done = run.settings.batch_size, [], 0
    for mark in _marks(run, client, times):
        steps = -(-mark // size)
        samples = min(steps * size, update.samples) - min(done * size, update.samples)
        made.append((Participation(client, samples, steps - done, 0, 0), update.up[str(steps)]))
        done = steps
    return made
