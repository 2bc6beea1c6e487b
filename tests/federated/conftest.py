"""Fixtures for federated runs on a few random pictures."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from pipeline.federated import arrays
from pipeline.federated.algorithms import FedAvg
from pipeline.federated.arrays import Stored
from pipeline.federated.local import Hyper, Normalisation
from pipeline.federated.simulation import Client, Run, Schedule
from pipeline.federated.workers import Data

MakeStored = Callable[[str, int], Stored]
MakeRun = Callable[..., Run]


def client(real: tuple[int, int], extra: tuple[int, int] = (0, 0), steps: int = 2) -> Client:
    return Client(slice(*real), slice(*extra), steps)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the times of runs out of this project's own folder."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def stored() -> MakeStored:
    """A function that stores so many random 16x16 pictures; those of label i are brighter in channel i."""

    def make(name: str, count: int) -> Stored:
        rng = np.random.default_rng(len(name))
        labels = np.arange(count) % 3
        pixels = rng.integers(0, 120, (count, 16, 16, 3)).astype(np.uint8)
        pixels[np.arange(count), :, :, labels] += 100
        return arrays.store([name], labels, 16, lambda: [pixels])

    return make


@pytest.fixture
def images(stored: MakeStored) -> Data:
    """Thirty real pictures, twelve of a fill, nine to test on."""
    real = stored("real", 30)
    return Data(real, stored("extra", 12), stored("tests", 9), Normalisation.of(real.pixels))


@pytest.fixture
def run() -> MakeRun:
    """A function that makes a run of three clients (12, 10 and 8 real images; 4, 0 and 8 of a fill)."""

    def make(
        clients: Sequence[Client] = (
            client((0, 12), (0, 4)),
            client((12, 22), (4, 4), steps=3),
            client((22, 30), (4, 12), steps=1),
        ),
        rounds: int = 3,
        clients_per_round: int | None = None,
        eval_every: int = 1,
        seed: int = 1,
    ) -> Run:
        return Run(
            clients=tuple(clients),
            algorithm=FedAvg(),
            model="simple-cnn",
            norm="group",
            image_size=16,
            tests=(3, 3, 3),
            hyper=Hyper(batch_size=6, momentum=0.9, weight_decay=0.0),
            schedule=Schedule(0.05, "constant"),
            rounds=rounds,
            clients_per_round=clients_per_round,
            eval_every=eval_every,
            stop_at=None,
            seed=seed,
        )

    return make
