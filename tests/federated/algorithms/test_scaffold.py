from collections.abc import Callable

import numpy as np
import pytest

from pipeline.federated.algorithm import Local, Update
from pipeline.federated.algorithms.scaffold import Scaffold


def test_a_step_is_corrected_by_the_difference_of_the_controls(local: Callable[..., Local]) -> None:
    """With c = 3, c_i = 1 and a rate of 0.1 a step adds -0.1 * (3 - 1) = -0.2."""
    client = local(1.0, {"weights": 0.0, "control": 3.0}, {"control": 1.0})
    Scaffold().after_step(client)
    assert client.model.parameters.unique().tolist() == pytest.approx([0.8])
    Scaffold().after_step(client)
    assert client.model.parameters.unique().tolist() == pytest.approx([0.6])


def test_option_two_by_hand(local: Callable[..., Local]) -> None:
    """From x = 2 to y = 1 in 2 steps at 0.1: c_i+ = c_i - c + (2 - 1) / (2 x 0.1) = 1 - 3 + 5 = 3, so 2 more."""
    client = local(1.0, {"weights": 2.0, "control": 3.0}, {"control": 1.0}, steps=2, learning_rate=0.1)
    up, kept = Scaffold().end(client)
    assert np.unique(kept["control"]).tolist() == pytest.approx([3.0])
    assert np.unique(up["control"]).tolist() == pytest.approx([2.0])
    assert np.unique(up["weights"]).tolist() == [1.0]


def test_a_client_begins_with_no_control(local: Callable[..., Local]) -> None:
    """c_i = 0: c_i+ = 0 - 3 + 5 = 2."""
    up, kept = Scaffold().end(local(1.0, {"weights": 2.0, "control": 3.0}, steps=2, learning_rate=0.1))
    assert np.unique(kept["control"]).tolist() == np.unique(up["control"]).tolist() == pytest.approx([2.0])


def test_the_server_by_hand(update: Callable[..., Update]) -> None:
    """Two of 4 clients took part: weights (1 * 1 + 3 * 5) / 4 = 4; control 1 + (2 + 6) / 4 = 3."""
    state = {"weights": np.zeros(1, np.float32), "control": np.ones(1, np.float32)}
    sent = [update(size=1, weights=[1], control=[2]), update(size=3, weights=[5], control=[6])]
    new = Scaffold().aggregate(state, sent, 1, 4)
    assert (new["weights"].tolist(), new["control"].tolist()) == ([4], [3])
    assert set(Scaffold().broadcast(new)) == {"weights", "control"}
