"""A client's local training on the real small model, with weights that are easy to calculate with."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor

from pipeline.federated.algorithm import Local, LocalSettings, Update
from pipeline.federated.models import FlatModel, SecondModels

MakeLocal = Callable[..., Local]
MakeUpdate = Callable[..., Update]


@pytest.fixture
def local() -> MakeLocal:
    """A function that makes a client whose model is at ``now`` everywhere; one number stands for each vector."""

    def make(
        now: float,
        broadcast: Mapping[str, float],
        client_state: Mapping[str, float] | None = None,
        steps: int = 2,
        learning_rate: float = 0.1,
        labels: Sequence[int] = (0,),
    ) -> Local:
        make_model = partial(FlatModel, "simple-cnn", "group", 3, 16)
        model = make_model()

        def full(values: Mapping[str, float]) -> dict[str, Tensor]:
            return {name: torch.full_like(model.vector, value) for name, value in values.items()}

        model.vector.fill_(now)
        settings = LocalSettings(batch_size=6, momentum=0.0, weight_decay=0.0)
        second_model = SecondModels(make_model)
        sent, kept = full(broadcast), full(client_state or {})
        return Local(model, sent, kept, settings, learning_rate, second_model, torch.tensor(labels), steps)

    return make


@pytest.fixture
def update() -> MakeUpdate:
    """A function that makes what a client sent, from short lists."""

    def make(weight: int = 1, steps: int = 1, **up: list[float]) -> Update:
        return Update({name: np.array(values, np.float32) for name, values in up.items()}, {}, weight, steps, steps)

    return make
