"""What is measured of one run: its accuracy, the accuracy over clients, local work, and bytes until a target.

All accuracies are shares of 1. Nothing here selects a round by its accuracy on the test images.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass
from typing import Self

import numpy as np
from pydantic import ConfigDict

from pipeline.artifacts import history
from pipeline.artifacts.history import Round, RunHistory
from pipeline.reporting.statistics import DECIMALS

_STRICT = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)
_TENTH = 10


@dataclass(frozen=True)
class ClientSpread:
    """Accuracy over the clients of which one is known, each client counted once, whatever its size.

    A client's accuracy is that of the global model on the test images of each class, weighted by how many real images
    of the class the client holds; mean over the last rounds that were tested.
    """

    __pydantic_config__ = _STRICT

    mean: float
    """Unweighted over clients."""
    deviation: float
    """Standard deviation over clients, which are all there are, so divided by their number."""
    worst_tenth: float
    """Mean of the 10 % of clients with the lowest accuracies, their number rounded up: of 1 to 10 clients, of one."""
    best_tenth: float
    """Mean of the 10 % with the highest, likewise."""
    worst: float
    """The lowest of any client."""

    def rounded(self) -> Self:
        """Return the numbers as reports store them."""
        return type(self)(*(round(value, DECIMALS) for value in astuple(self)))


@dataclass(frozen=True)
class Reach:
    """When a run reached a target."""

    round: int
    bytes: int
    """Moved until the end of this round, all clients, both ways."""


@dataclass(frozen=True)
class RunMeasures:
    """The numbers of one run."""

    primary: float
    """The primary number: mean accuracy over the tested rounds among the last ``last_rounds``."""
    primary_rounds: int
    """How many rounds that mean is over; fewer than asked for if the run was shorter, or not tested in each."""
    last: float
    """Accuracy after the last tested round."""
    averaged: float | None
    """Accuracy of the average of the global weights of the last rounds; None if it was not tested."""
    rounds: int
    """Rounds that the run had."""
    samples_per_round: float
    """Images that went through local training, all clients, mean over rounds."""
    steps_per_round: float
    """Local SGD steps, all clients, mean over rounds."""
    bytes_down: int
    """Sent to clients in all rounds."""
    bytes_up: int
    """Sent by clients in all rounds."""
    clients: ClientSpread | None
    """None if no accuracy by client is known."""

    def columns(self) -> dict[str, float | int | None]:
        """Return the numbers by name as a table has them, those over clients as ``clients_mean``, and so on."""
        flat = {name: value for name, value in asdict(self).items() if name != "clients"}
        found = asdict(self.clients) if self.clients else {}
        return flat | {f"clients_{name}": found.get(name) for name in ClientSpread.__dataclass_fields__}


def measure(run: RunHistory, clients: Mapping[int, Sequence[float | None]] | None = None) -> RunMeasures:
    """Return the numbers of a run; raise ValueError if no round of it was tested.

    ``clients`` are the clients' accuracies by round. ``run.last_rounds`` is 1 for a central run, whose rounds are parts
    of one training and no repetitions of its end.
    """
    if not run.tested:
        raise ValueError(f"no tested round: {run.fill}, {run.algorithm}, {run.budget}, seed {run.seed}")
    final = last(run)
    seen = of_clients(run, clients or {})
    return RunMeasures(
        primary=float(np.mean([done.accuracy for done in final])),
        primary_rounds=len(final),
        last=run.tested[-1].accuracy or 0.0,
        averaged=run.averaged,
        rounds=len(run.rounds),
        samples_per_round=float(np.mean([done.samples for done in run.rounds])),
        steps_per_round=float(np.mean([done.steps for done in run.rounds])),
        bytes_down=sum(done.bytes_down for done in run.rounds),
        bytes_up=sum(done.bytes_up for done in run.rounds),
        clients=spread(seen),
    )


def last(run: RunHistory) -> list[Round]:
    """Return the tested rounds among the last ``last_rounds``; if there is none among them, the last tested one."""
    return run.last or run.tested[-1:]


def of_clients(run: RunHistory, clients: Mapping[int, Sequence[float | None]]) -> tuple[float | None, ...]:
    """Return each client's accuracy, mean over the last rounds; empty if none is known. ``clients`` are by round."""
    return by_column([clients.get(done.number, ()) for done in last(run)])


def by_column(rows: Sequence[Sequence[float | None]]) -> tuple[float | None, ...]:
    """Return the mean of each column over the rows that know it; None for a column that none knows.

    Empty rows do not count: nothing of them is known.
    """
    known = [shares for shares in rows if shares]
    columns = ([share for share in column if share is not None] for column in zip(*known, strict=True))
    return tuple(sum(shares) / len(shares) if shares else None for shares in columns)


OVER_CLIENTS = (
    "The accuracy that a client sees is that of the global model on the test images of each class, weighted by how "
    "many real images of that class the client holds, mean over a run's last rounds. Each client counts once, whatever "
    "its size: the deviation is that over all clients, worst and best 10 % are the means of these clients (rounded up "
    "to whole clients), worst is the worst client. Each number is a mean over runs."
)
"""What the numbers of ``ClientSpread`` mean, on pages."""


def spread(accuracies: Sequence[float | None]) -> ClientSpread | None:
    """Return the distribution over the clients that have an accuracy; None if none has."""
    known = np.sort([share for share in accuracies if share is not None and not math.isnan(share)])
    if not len(known):
        return None
    tenth = -(-len(known) // _TENTH)
    return ClientSpread(
        mean=float(known.mean()),
        deviation=float(known.std()),
        worst_tenth=float(known[:tenth].mean()),
        best_tenth=float(known[-tenth:].mean()),
        worst=float(known[0]),
    )


def mean_spread(found: Sequence[ClientSpread | None]) -> ClientSpread | None:
    """Return distributions of several runs as one, each number a mean over them; None if there is none."""
    known = [astuple(one) for one in found if one]
    return ClientSpread(*np.mean(known, axis=0).tolist()) if known else None


def reach(run: RunHistory, target: float) -> Reach | None:
    """Return when a run reached a target: two tests in a row at or above it, of which the first counts.

    None if it never did: the run is censored at its last round.
    """
    first = history.reached(run.rounds, target)
    return Reach(first.number, moved(run, first.number)) if first else None


def reach_once(run: RunHistory, target: float, sent: int) -> Reach | None:
    """Return when a central run reaches a target: after no round, and its weights sent once; None if it never does.

    Its one model is the end of one training, so one test decides. ``sent`` are the bytes of its weights to all clients.
    """
    return Reach(0, sent) if measure(run).primary >= target else None


def sent(runs: Iterable[RunHistory]) -> int:
    """Return the bytes of a model's weights, the least that any run sent to a client in a round: nobody sends less.

    Central runs, which send nothing, do not count; 0 if there are no others.
    """
    sizes = {one.bytes_down for run in runs for done in run.rounds for one in done.participants}
    return min(sizes - {0}, default=0)


def moved(run: RunHistory, number: int) -> int:
    """Return the bytes moved until the end of a round, all clients, both ways."""
    return sum(done.bytes_down + done.bytes_up for done in run.rounds[:number])
