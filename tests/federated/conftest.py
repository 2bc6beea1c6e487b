"""Fixtures for federated runs on a few random pictures."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from pipeline.data import arrays
from pipeline.data.arrays import Stored
from pipeline.federated.algorithm import LocalSettings
from pipeline.federated.algorithms.fedavg import FedAvg
from pipeline.federated.inputs import Inputs
from pipeline.federated.local import Normalisation
from pipeline.federated.simulation import Client, Run, Schedule
from pipeline.workspace import Workspace

MakeStored = Callable[[str, int], Stored]
MakeRun = Callable[..., Run]


@pytest.fixture
def stored(workspace: Workspace) -> MakeStored:
    """A function that stores so many random 16x16 pictures; those of label i are brighter in channel i."""

    def make(name: str, count: int) -> Stored:
        rng = np.random.default_rng(len(name))
        labels = np.arange(count) % 3
        pixels = rng.integers(0, 120, (count, 16, 16, 3)).astype(np.uint8)
        pixels[np.arange(count), :, :, labels] += 100
        return arrays.store(workspace.arrays, name, labels, 16, lambda: [pixels])

    return make


def rows(*stretches: tuple[int, int]) -> tuple[np.ndarray[tuple[int], np.dtype[np.int64]], ...]:
    return tuple(np.arange(*stretch) for stretch in stretches)


@pytest.fixture
def inputs(stored: MakeStored) -> Inputs:
    """Thirty real pictures, twelve of a fill, nine to test on; three clients hold 12, 10 and 8, and 4, 0 and 8."""
    real = stored("real", 30)
    held = (rows((0, 12), (0, 4)), rows((12, 22), (4, 4)), rows((22, 30), (4, 12)))
    normalisation = Normalisation.of(real.pixels)
    return Inputs((real, stored("extra", 12)), ("real", "extra"), held, stored("tests", 9), normalisation, 3)


CLIENTS = (Client(16, 12), Client(10, 16), Client(16, 6))
"""What a run knows of these clients; in batches of 6 they take 2, 3 and 1 steps."""


@pytest.fixture
def run() -> MakeRun:
    """A function that makes a run of these clients."""

    def make(
        clients: Sequence[Client] = CLIENTS,
        rounds: int = 3,
        clients_per_round: int | None = None,
        eval_every: int = 1,
        seed: int = 1,
    ) -> Run:
        return Run(
            clients=tuple(clients),
            images="",
            normalisation=Normalisation((60.0, 60.0, 60.0), (40.0, 40.0, 40.0)),
            algorithm=FedAvg(),
            model="simple-cnn",
            norm="group",
            image_size=16,
            tests=(3, 3, 3),
            settings=LocalSettings(batch_size=6, momentum=0.9, weight_decay=0.0),
            schedule=Schedule(0.05, "constant"),
            rounds=rounds,
            clients_per_round=clients_per_round,
            eval_every=eval_every,
            stop_at=None,
            seed=seed,
        )

    return make
