from collections.abc import Callable

import numpy as np
import pytest

from pipeline.federated.algorithm import Update
from pipeline.federated.algorithms.fedadam import FedAdam


def test_two_rounds_by_hand(update: Callable[..., Update]) -> None:
    """Clients at 1 and 3 average 2, and the server is at 0, tau 1, betas 0.5, rate 0.1.

    Change 2: m = 1, v = 0.5 * 1 + 0.5 * 4 = 2.5, to 0.1 * 1 / (sqrt 2.5 + 1) = 0.0387426.
    Change 1.9612574: m = 1.4806287, v = 3.1732653, by 0.1 * 1.4806287 / 2.7813662 more.
    """
    server = FedAdam(learning_rate=0.1, beta1=0.5, beta2=0.5, tau=1.0)
    state = server.start(np.zeros(1, np.float32))
    sent = [update(weights=[1]), update(weights=[3])]
    state = server.aggregate(state, sent, 1, 2)
    assert state["weights"].tolist() == pytest.approx([0.0387426], rel=1e-5)
    state = server.aggregate(state, sent, 1, 2)
    assert state["weights"].tolist() == pytest.approx([0.0387426 + 0.1 * 1.4806287 / 2.7813662], rel=1e-5)


def test_buffers_are_averaged_and_nobody_is_no_step(update: Callable[..., Update]) -> None:
    server = FedAdam()
    state = server.start(np.array([4.0, 4.0], np.float32))
    assert server.aggregate(state, [update(weights=[2, 2])], 1, 1)["weights"][1] == 2
    assert server.aggregate(state, [], 1, 1) is state
