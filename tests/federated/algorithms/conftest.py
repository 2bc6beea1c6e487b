"""A client's local training on the real small model, with weights that are easy to reckon with."""

from collections.abc import Callable, Mapping

import pytest
import torch
from torch import Tensor

from pipeline.federated.algorithms.fedavg import Update
from pipeline.federated.local import Hyper, Local
from pipeline.federated.models import FlatModel

MakeLocal = Callable[..., Local]
MakeUpdate = Callable[..., Update]


@pytest.fixture
def local() -> MakeLocal:
    """A function that makes a client whose model is at ``now`` everywhere; one number stands for each vector."""

    def make(
        now: float, down: Mapping[str, float], own: Mapping[str, float] | None = None, steps: int = 2, rate: float = 0.1
    ) -> Local:
        model = FlatModel("simple-cnn", "group", 3, 16)

        def full(values: Mapping[str, float]) -> dict[str, Tensor]:
            return {name: torch.full_like(model.vector, value) for name, value in values.items()}

        model.vector.fill_(now)
        hyper = Hyper(batch_size=6, momentum=0.0, weight_decay=0.0)

        def other(name: str, weights: Tensor) -> FlatModel:
            made = FlatModel("simple-cnn", "group", 3, 16)
            made.vector.copy_(weights)
            return made

        return Local(model, full(down), full(own or {}), hyper, rate, other, steps)

    return make


@pytest.fixture
def update() -> MakeUpdate:
    """A function that makes what a client sent, from short lists."""
    import numpy as np

    def make(size: int = 1, steps: int = 1, **up: list[float]) -> Update:
        return Update({name: np.array(values, np.float32) for name, values in up.items()}, {}, size, steps, steps)

    return make
