from collections.abc import Callable

import numpy as np
import pytest

from pipeline.federated.algorithm import Local, Update
from pipeline.federated.algorithms.fedavg import FedAvg
from pipeline.federated.algorithms.fednova import FedNova, accumulated


def test_unequal_steps_by_hand(update: Callable[..., Update]) -> None:
    """From 1, two equal clients: 2 steps to 3 and 4 steps to 9, so 1 and 2 a step, mean 1.5.

    The mean work is 3 steps, so the server goes to 1 + 3 * 1.5 = 5.5; FedAvg goes to 6.
    """
    sent = [update(steps=2, weights=[3], norm=[2]), update(steps=4, weights=[9], norm=[4])]
    state = {"weights": np.ones(1, np.float32)}
    assert FedNova().aggregate(state, sent, 1, 2)["weights"].tolist() == [5.5]
    assert FedAvg().aggregate(state, sent, 1, 2)["weights"].tolist() == [6]


def test_with_equal_steps_it_is_fedavg(update: Callable[..., Update]) -> None:
    sent = [update(weight=2, weights=[3, 0.5], norm=[7]), update(weight=5, weights=[-9, 4], norm=[7])]
    state = {"weights": np.array([0.25, 100], np.float32)}
    expected = FedAvg().aggregate(state, sent, 2, 2)["weights"]
    assert FedNova().aggregate(state, sent, 2, 2)["weights"] == pytest.approx(expected, rel=1e-6)


def test_buffers_are_averaged(update: Callable[..., Update]) -> None:
    """Behind the one parameter lies a buffer: its mean is (3 + 9) / 2, however many steps were taken."""
    sent = [update(steps=2, weights=[3, 3], norm=[2]), update(steps=4, weights=[9, 9], norm=[4])]
    assert FedNova().aggregate({"weights": np.ones(2, np.float32)}, sent, 1, 2)["weights"].tolist() == [5.5, 6]


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("steps", [1, 2, 7])
def test_what_momentum_accumulates(steps: int, momentum: float) -> None:
    """A constant gradient of 1 at rate 1 moves the weights by just this much: v = m v + 1, w = w + v."""
    velocity = moved = 0.0
    for _ in range(steps):
        velocity = momentum * velocity + 1
        moved += velocity
    assert accumulated(steps, momentum) == pytest.approx(moved)


def test_a_client_sends_its_norm(local: Callable[..., Local]) -> None:
    up, kept = FedNova().end(local(1.0, {"weights": 2.0}, steps=3))
    assert (up["norm"].tolist(), kept) == ([3.0], {})
