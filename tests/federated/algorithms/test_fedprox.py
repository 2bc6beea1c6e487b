from collections.abc import Callable

import pytest

from pipeline.federated.algorithm import Local
from pipeline.federated.algorithms.fedprox import FedProx


def test_the_gradient_pulls_back_to_the_global_weights(local: Callable[..., Local]) -> None:
    """At 3, sent 1, with mu 0.5 the term's gradient is 0.5 * (3 - 1) = 1, added to the 0.25 that is there."""
    client = local(3.0, {"weights": 1.0})
    client.model.gradient.fill_(0.25)
    FedProx(mu=0.5).before_step(client)
    assert client.model.gradient.unique().tolist() == pytest.approx([1.25])
    assert client.model.parameters.unique().tolist() == [3.0]
