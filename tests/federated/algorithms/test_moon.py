from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from pipeline.federated.algorithm import Local
from pipeline.federated.algorithms.fedavg import FedAvg
from pipeline.federated.algorithms.moon import Moon


def pictures() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    return torch.rand(4, 3, 16, 16, generator=generator), torch.tensor([0, 1, 2, 0])


def test_the_contrast_by_hand(local: Callable[..., Local]) -> None:
    """One representation is compared with the global model's and the last one's: -log of a softmax over two cosines."""
    client = local(0.0, {"weights": 0.0}, {"weights": 0.0})
    generator = torch.Generator().manual_seed(4)
    for vector in (client.model.vector, client.broadcast["weights"], client.client_state["weights"]):
        vector.copy_(torch.rand(vector.shape, generator=generator) - 0.5)
    images, labels = pictures()
    loss = Moon(mu=2.0, temperature=0.25).loss(client, images, labels)
    with torch.no_grad():
        now, logits = client.model.features_and_logits(images)
        towards = client.second_model("a", client.broadcast["weights"]).features_and_logits(images)[0]
        away = client.second_model("b", client.client_state["weights"]).features_and_logits(images)[0]
    expected = float(F.cross_entropy(logits, labels))
    for z, good, bad in zip(now, towards, away, strict=True):
        cosines = [float(z @ other / z.norm() / other.norm()) / 0.25 for other in (good, bad)]
        expected -= 2.0 / 4 * np.log(np.exp(cosines[0]) / np.exp(cosines).sum())
    assert float(loss.detach()) == pytest.approx(expected, rel=1e-4)
    assert now.shape == (4, 84)


def test_the_first_time_and_without_weight_it_is_fedavg(local: Callable[..., Local]) -> None:
    images, labels = pictures()
    for algorithm, kept in ((Moon(), {}), (Moon(mu=0.0), {"weights": 0.5})):
        client = local(0.01, {"weights": 0.02}, kept)
        assert torch.equal(algorithm.loss(client, images, labels), FedAvg().loss(client, images, labels))


def test_a_client_keeps_its_model(local: Callable[..., Local]) -> None:
    up, kept = Moon().end(local(0.5, {"weights": 0.0}))
    assert np.array_equal(kept["weights"], up["weights"])
