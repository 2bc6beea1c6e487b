from collections.abc import Callable
from math import log

import pytest
import torch
import torch.nn.functional as F

from pipeline.federated.algorithm import Local
from pipeline.federated.algorithms.fedrs import FedRS


@pytest.mark.parametrize(
    ("own", "label", "loss", "gradient"),
    [
        ((0, 1, 1), 0, log(6), (-5 / 6, 1 / 6, 2 / 6)),
        ((2, 2), 2, log(18 / 16), (1 / 36, 1 / 36, -2 / 18)),
    ],
)
def test_two_clients_by_hand(
    local: Callable[..., Local], own: tuple[int, ...], label: int, loss: float, gradient: tuple[float, ...]
) -> None:
    """All weights are 0 but the last biases, 0, 0 and ln 16: these are the logits of any image. Alpha is 1/2.

    A client of classes 0 and 1 halves the logit of class 2 to ln 4: the probabilities are 1/6, 1/6 and 4/6, and the
    loss of an image of class 0 is ln 6. The biases' gradients are 1/6 - 1, 1/6 and half of 4/6. A client of class 2
    halves two logits of 0: the probabilities are 1/18, 1/18 and 16/18, the loss of an image of class 2 is ln 18/16, and
    the gradients are half of 1/18, the same, and 16/18 - 1.
    """
    client = local(0.0, {"weights": 0.0}, labels=own)
    client.model.vector[-1] = log(16)
    found = FedRS(alpha=0.5).loss(client, torch.rand(2, 3, 16, 16), torch.tensor([label, label]))
    found.backward()
    assert found.item() == pytest.approx(loss, rel=1e-6)
    assert client.model.gradient[-3:].tolist() == pytest.approx(gradient, rel=1e-5)


@pytest.mark.parametrize(("alpha", "own"), [(1.0, (1,)), (0.0, (2, 0, 1)), (0.3, (0, 1, 2, 2))])
def test_a_scale_of_1_and_a_client_of_all_classes_are_fedavg(
    local: Callable[..., Local], alpha: float, own: tuple[int, ...]
) -> None:
    client = local(0.01, {"weights": 0.0}, labels=own)
    images, labels = torch.rand(2, 3, 16, 16), torch.tensor([own[0], own[0]])
    expected = F.cross_entropy(client.model.module(images), labels)
    assert torch.equal(FedRS(alpha=alpha).loss(client, images, labels), expected)
