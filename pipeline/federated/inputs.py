"""What runs start from: decoded images, who holds which of them, and the runs that parameters ask for."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline import seeds
from pipeline.artifacts.holdings import Holdings
from pipeline.data.arrays import Stored
from pipeline.errors import ParameterError
from pipeline.federated import algorithms
from pipeline.federated.algorithm import Algorithm, LocalSettings
from pipeline.federated.local import Normalisation
from pipeline.federated.simulation import Client, Run, Schedule
from pipeline.params import TrainParams

Int64 = NDArray[np.int64]


@dataclass(frozen=True)
class Inputs:
    """The images that all runs of a call share."""

    sources: tuple[Stored, ...]
    """Those that some client holds rows of."""
    clients: tuple[tuple[Int64, ...], ...]
    """For each client, its rows of each source."""
    test: Stored
    normalisation: Normalisation
    classes: int
    test_rows: Int64 | None = None
    """The rows of ``test`` on which models are tested; None: all of them."""

    @classmethod
    def of(
        cls, holdings: Holdings, sources: Mapping[str, Stored], test: Stored, test_rows: Int64 | None = None
    ) -> "Inputs":
        """Return the inputs of holdings; ``sources`` are their arrays by name."""
        used = [name for name, rows in holdings.rows.items() if any(map(len, rows))]
        return cls(
            sources=tuple(sources[name] for name in used),
            clients=tuple(tuple(holdings.rows[name][i] for name in used) for i in range(holdings.clients)),
            test=test,
            normalisation=Normalisation(holdings.mean, holdings.std),
            classes=len(holdings.class_names),
            test_rows=test_rows,
        )

    @property
    def test_labels(self) -> Int64:
        """The labels of the test images."""
        return self.test.labels if self.test_rows is None else self.test.labels[self.test_rows]

    def labels(self, client: int) -> Int64:
        """Return the labels of a client's images, source by source."""
        held = zip(self.sources, self.clients[client], strict=True)
        return np.concatenate([np.empty(0, np.int64), *(source.labels[rows] for source, rows in held)])

    @property
    def digest(self) -> str:
        """The identity of the images, of who holds which, and of the test images, whatever they were made from."""
        whole = hashlib.sha256(json.dumps([self.test.content, *(source.content for source in self.sources)]).encode())
        for client in self.clients:
            for rows in client:
                whole.update(len(rows).to_bytes(8, "little"))
                whole.update(np.ascontiguousarray(rows).data)
        if self.test_rows is not None:
            whole.update(np.ascontiguousarray(self.test_rows).data)
        return whole.hexdigest()


def runs(
    holdings: Holdings, inputs: Inputs, algorithm: str, params: TrainParams, root_seed: int
) -> Iterator[tuple[str, int, Run]]:
    """Yield the budget, the seed and the run of each pair that the parameters and the holdings name.

    Raises ParameterError if the algorithm cannot take its hyper-parameters, or its learning rate falls to 0.
    """
    weights = holdings.sizes().tolist()
    images = inputs.digest
    for budget, samples in holdings.samples.items():
        clients = tuple(Client(weight, drawn) for weight, drawn in zip(weights, samples.tolist(), strict=True))
        for seed in params.seeds:
            derived = seeds.derive(root_seed, "train", seed)
            yield budget, seed, run(clients, images, inputs, algorithm, params, derived, holdings.rounds)


def run(
    clients: tuple[Client, ...],
    images: str,
    inputs: Inputs,
    algorithm: str,
    params: TrainParams,
    seed: int,
    rounds: int | None = None,
) -> Run:
    """Return the run that parameters and inputs decide.

    ``rounds`` replaces the parameters' number of rounds; then all clients take part in each, and each is tested. Raises
    ParameterError if the learning rate falls to 0 and the algorithm divides by it: workers compute in float32, where a
    smaller rate is 0.
    """
    made = algorithms.make(algorithm, params.options.get(algorithm, {}))
    count = rounds or params.rounds
    return Run(
        clients=clients,
        images=images,
        normalisation=inputs.normalisation,
        algorithm=made,
        model=params.model,
        norm=params.norm,
        image_size=inputs.test.image_size,
        tests=tuple(np.bincount(inputs.test_labels, minlength=inputs.classes).tolist()),
        settings=LocalSettings(
            params.batch_size, params.momentum, params.weight_decay, params.clip_norm, params.augment
        ),
        schedule=_schedule(params, count, made),
        rounds=count,
        clients_per_round=None if rounds else _clients_per_round(params, len(clients)),
        eval_every=1 if rounds else params.eval_every,
        stop_at=None if rounds else params.stop_at,
        seed=seed,
    )


def _schedule(params: TrainParams, rounds: int, algorithm: Algorithm) -> Schedule:
    """Return the schedule; raise ParameterError if it ends at 0 and the algorithm divides by it."""
    schedule = Schedule(params.learning_rate, params.schedule, params.decay)
    if algorithm.divides_by_rate and np.float32(schedule.rate(rounds, rounds)) == 0:
        name = type(algorithm).__name__.lower()
        what = f"the learning rate falls to 0 by round {rounds}, and {name} divides by it"
        where = f"params.yaml, train.learning_rate = {params.learning_rate}, train.decay = {params.decay}"
        raise ParameterError(what, where, "raise them, or take fewer train.rounds")
    return schedule


def _clients_per_round(params: TrainParams, clients: int) -> int | None:
    chosen = params.clients_per_round
    return max(1, round(chosen * clients)) if isinstance(chosen, float) else chosen
