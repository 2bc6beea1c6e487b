"""What runs start from: decoded images, who holds which of them, and the runs that parameters ask for."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pipeline import progress, seeds
from pipeline.artifacts.holdings import REAL, Holdings
from pipeline.data.arrays import Stored
from pipeline.errors import ParameterError
from pipeline.federated import algorithms
from pipeline.federated.algorithm import Algorithm, LocalSettings
from pipeline.federated.algorithms.fedavg import FedAvg
from pipeline.federated.dropouts import Recorded
from pipeline.federated.local import Normalisation
from pipeline.federated.simulation import Client, Run, Schedule
from pipeline.params import TrainParams

Int64 = NDArray[np.int64]


@dataclass(frozen=True)
class Inputs:
    """The images that all runs of a call share."""

    sources: tuple[Stored, ...]
    """Those that some client holds rows of."""
    names: tuple[str, ...]
    """Of the sources, as holdings name them."""
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
            names=tuple(used),
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

    def real(self, client: int) -> NDArray[np.bool]:
        """Tell which of a client's images are real, source by source."""
        held = [np.full(len(rows), name == REAL) for name, rows in zip(self.names, self.clients[client], strict=True)]
        return np.concatenate([np.empty(0, np.bool), *held])

    @property
    def digest(self) -> str:
        """The identity of the images, which are real, who holds which, and of the test images.

        It does not depend on what they were made from.
        """
        kinds = [[source.content, name == REAL] for source, name in zip(self.sources, self.names, strict=True)]
        whole = hashlib.sha256(json.dumps([self.test.content, *kinds]).encode())
        for client in self.clients:
            for rows in client:
                whole.update(len(rows).to_bytes(8, "little"))
                whole.update(np.ascontiguousarray(rows).data)
        if self.test_rows is not None:
            whole.update(np.ascontiguousarray(self.test_rows).data)
        return whole.hexdigest()


def runs(
    holdings: Holdings,
    inputs: Inputs,
    algorithm: str,
    params: TrainParams,
    root_seed: int,
    starts: Mapping[int, str] | None = None,
    recorded: Recorded | None = None,
) -> Iterator[tuple[str, int, Run]]:
    """Yield the budget, the seed and the run of each pair that the parameters and the holdings name.

    ``starts`` are the digests, by seed, of the runs whose last weights these start from; ``recorded`` are drop-outs,
    some of which may be of these runs. Raises ParameterError if the
    algorithm cannot take its hyper-parameters, its learning rate falls to 0, or a central run has another than FedAvg.
    """
    weights, images = client_weights(holdings, params).tolist(), inputs.digest
    for budget, samples in holdings.samples.items():
        clients = tuple(Client(weight, drawn) for weight, drawn in zip(weights, samples.tolist(), strict=True))
        for seed in params.seeds:
            derived, start = seeds.derive(root_seed, "train", seed), (starts or {}).get(seed)
            made = run(clients, images, inputs, algorithm, params, derived)
            if holdings.rounds:
                made = central(made, params, holdings.rounds)
            if recorded:
                made = recorded.put_into(made, holdings.fill, algorithm, budget, seed)
            yield budget, seed, replace(made, start=start)


def client_weights(holdings: Holdings, params: TrainParams) -> Int64:
    """Return what each client counts in averages, (clients,): the images it trains on, or those that are its own.

    A client with nothing to train on has none. Clients that are left out because they have no real image are reported.
    """
    sizes = holdings.sizes()
    if params.weights == "images" or holdings.clients == 1:
        return sizes
    weights = np.where(sizes > 0, holdings.own, 0)
    if lost := int(((sizes > 0) & (weights == 0)).sum()):
        what = f"{lost} of {holdings.clients} clients have images, but no real one of their own"
        progress.say(f"fill {holdings.fill}: {what}: with train.weights = real they sit out")
    return weights


def run(
    clients: tuple[Client, ...], images: str, inputs: Inputs, algorithm: str, params: TrainParams, seed: int
) -> Run:
    """Return the federated run that parameters and inputs decide.

    Raises ParameterError if the learning rate falls to 0 and the algorithm divides by it: workers compute in float32,
    where a smaller rate is 0.
    """
    made = algorithms.make(algorithm, params.options.get(algorithm, {}))
    return Run(
        clients=clients,
        images=images,
        normalisation=inputs.normalisation,
        algorithm=made,
        model=params.model,
        norm=params.norm,
        image_size=inputs.test.image_size,
        tests=tuple(np.bincount(inputs.test_labels, minlength=inputs.classes).tolist()),
        settings=_settings(params),
        schedule=_schedule(params, made),
        rounds=params.rounds,
        clients_per_round=_clients_per_round(params, len(clients)),
        eval_every=params.eval_every,
        stop_at=params.stop_at,
        seed=seed,
        last_rounds=min(params.last_rounds, params.rounds),
    )


def central(made: Run, params: TrainParams, rounds: int) -> Run:
    """Return the run of a client that trains alone in so many parts, with a test after each.

    Its rate decays as far in all as that of a federated run. Raises ParameterError if the algorithm is not FedAvg.
    """
    if type(made.algorithm) is not FedAvg:
        fix = "name it under train.references, which are trained with fedavg"
        raise ParameterError("a fill with one client is no federation", "params.yaml, train.fills", fix)
    schedule = replace(made.schedule, decay=made.schedule.decay ** (params.rounds / rounds))
    return replace(alone(made), schedule=schedule, rounds=rounds, clients_per_round=None, eval_every=1)


def alone(made: Run) -> Run:
    """Return the run in which each client of a federated run trains alone, on as many samples as in that run."""
    clients = tuple(replace(client, weight=int(client.samples > 0)) for client in made.clients)
    return replace(made, clients=clients, eval_every=made.rounds, stop_at=None, last_rounds=1, alone=True, dropouts=())


def _settings(params: TrainParams) -> LocalSettings:
    return LocalSettings(
        batch_size=params.batch_size,
        momentum=params.momentum,
        weight_decay=params.weight_decay,
        clip_norm=params.clip_norm,
        augment=params.augment,
        sampling=params.sampling,
        real_weight=params.real_weight,
    )


def _schedule(params: TrainParams, algorithm: Algorithm) -> Schedule:
    """Return the schedule; raise ParameterError if it ends at 0 and the algorithm divides by it."""
    decay, rounds = params.decay, params.rounds
    schedule = Schedule(params.learning_rate, params.schedule, decay if params.schedule == "exponential" else 1.0)
    if algorithm.divides_by_rate and np.float32(schedule.rate(rounds - 1, rounds)) == 0:
        name = type(algorithm).__name__.lower()
        what = f"the learning rate falls to 0 by round {rounds}, and {name} divides by it"
        where = f"params.yaml, train.learning_rate = {params.learning_rate}, train.decay = {decay}"
        raise ParameterError(what, where, "raise them, or take fewer train.rounds")
    return schedule


def _clients_per_round(params: TrainParams, clients: int) -> int | None:
    chosen = params.clients_per_round
    return max(1, round(chosen * clients)) if isinstance(chosen, float) else chosen
