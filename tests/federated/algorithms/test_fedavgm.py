from collections.abc import Callable

import numpy as np
import pytest

from pipeline.federated.algorithm import Update
from pipeline.federated.algorithms.fedavg import FedAvg
from pipeline.federated.algorithms.fedavgm import FedAvgM


def test_two_rounds_by_hand(update: Callable[..., Update]) -> None:
    """Clients at 1 and 3 average 2. From 4: v = 4 - 2 = 2, to 4 - 0.5 * 2 = 3. Then v = 0.5 * 2 + (3 - 2) = 2, to 2."""
    server = FedAvgM(momentum=0.5, learning_rate=0.5)
    state = server.start(np.array([4.0], np.float32))
    sent = [update(weights=[1]), update(weights=[3])]
    state = server.aggregate(state, sent, 1, 2)
    assert state["weights"].tolist() == [3]
    assert server.aggregate(state, sent, 1, 2)["weights"].tolist() == [2]


def test_without_momentum_it_is_fedavg_to_the_last_bit(update: Callable[..., Update]) -> None:
    values = np.random.default_rng(0).normal(size=(3, 50)).astype(np.float32)
    sent = [update(weight=3, weights=list(values[0])), update(weight=4, weights=list(values[1]))]
    server = FedAvgM(momentum=0.0)
    expected = FedAvg().aggregate({"weights": values[2]}, sent, 50, 2)["weights"]
    assert np.array_equal(server.aggregate(server.start(values[2]), sent, 50, 2)["weights"], expected)


def test_buffers_are_averaged(update: Callable[..., Update]) -> None:
    server = FedAvgM(momentum=0.5, learning_rate=0.5)
    state = server.aggregate(server.start(np.array([4.0, 4.0], np.float32)), [update(weights=[2, 2])], 1, 1)
    assert state["weights"].tolist() == pytest.approx([3, 2])
