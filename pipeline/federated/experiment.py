"""From parameters to runs: the same runs over several paired seeds, and what they leave on disk."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

from pipeline import atomic, progress, seeds
from pipeline.artifacts import history
from pipeline.artifacts.history import Round
from pipeline.federated import workers
from pipeline.federated.local import Hyper, Vector
from pipeline.federated.models import FlatModel
from pipeline.federated.simulation import Client, Outcome, Run
from pipeline.federated.workers import Data
from pipeline.params import TrainParams


def steps_of(sizes: NDArray[np.int64], params: TrainParams) -> NDArray[np.int64]:
    """Return the local steps a round that clients with this many images take, the last batch of a pass part-full."""
    return params.local_epochs * -(-sizes // params.batch_size)


def clients(real: NDArray[np.int64], extra: NDArray[np.int64], steps: NDArray[np.int64]) -> tuple[Client, ...]:
    """Return clients over images that lie in order of client; all arguments are (clients,)."""
    ends = zip(np.cumsum(real).tolist(), np.cumsum(extra).tolist(), strict=True)
    counts = zip(real.tolist(), extra.tolist(), steps.tolist(), strict=True)
    return tuple(
        Client(slice(r1 - r, r1), slice(e1 - e, e1), s) for (r1, e1), (r, e, s) in zip(ends, counts, strict=True)
    )


def execute(
    title: str,
    arms: Mapping[str, tuple[Client, ...]],
    data: Data,
    classes: int,
    params: TrainParams,
    seed: int,
    worker_count: int,
) -> dict[tuple[str, int], Outcome]:
    """Carry out every arm (a name and its clients) once for each seed; return the outcomes by arm and seed."""
    size = data.real.pixels.shape[1]
    hyper = Hyper(params.batch_size, params.learning_rate, params.momentum, params.weight_decay)
    keys = {f"{arm}, seed {number}": (arm, number) for arm in arms for number in params.seeds}
    runs = {
        name: Run(
            clients=arms[arm],
            model=params.model,
            classes=classes,
            image_size=size,
            hyper=hyper,
            rounds=params.rounds,
            clients_per_round=params.clients_per_round,
            eval_every=params.eval_every,
            seed=seeds.derive(seed, "train", number),
        )
        for name, (arm, number) in keys.items()
    }
    with progress.bar(title, len(runs) * params.rounds, "rounds") as advance:
        outcomes = workers.execute(runs, data, worker_count, lambda name: advance(1, name))
    return {keys[name]: outcome for name, outcome in outcomes.items()}


def rows(outcome: Outcome, fill: str, algorithm: str, budget: str, seed: int) -> list[Round]:
    """Return an outcome as rows of a history, with tests rounded to what their digits mean."""
    return [
        Round(
            fill=fill,
            algorithm=algorithm,
            budget=budget,
            seed=seed,
            round=done.number,
            accuracy=_rounded(done.accuracy),
            loss=_rounded(done.loss),
            samples=done.samples,
            steps=done.steps,
            bytes_down=done.bytes_down,
            bytes_up=done.bytes_up,
        )
        for done in outcome.rounds
    ]


def save(folder: Path, rounds: Sequence[Round]) -> None:
    """Write history and metrics."""
    history.save(folder / "history.csv", rounds)
    history.save_metrics(folder / "metrics.json", rounds)


def save_weights(path: Path, weights: Vector, params: TrainParams, classes: int, image_size: int) -> None:
    """Write final weights by parameter name, as safetensors."""
    model = FlatModel(params.model, classes, image_size)
    model.vector.copy_(torch.from_numpy(weights))
    with atomic.replacing(path) as temporary:
        save_file(model.state(), temporary)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)
