from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor

from pipeline.federated import local as training
from pipeline.federated.algorithm import Local, LocalSettings, State, Update
from pipeline.federated.algorithms.scaffold import Scaffold
from pipeline.federated.local import Loaded, Normalisation
from pipeline.federated.models import FlatModel


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
    """Clients of 1 and 3 images of 8 took part: weights (1 * 1 + 3 * 5) / 4 = 4, control 1 + (2 + 3 * 6) / 8 = 3.5."""
    state = {"weights": np.zeros(1, np.float32), "control": np.ones(1, np.float32)}
    sent = [update(weight=1, weights=[1], control=[2]), update(weight=3, weights=[5], control=[6])]
    new = Scaffold().aggregate(state, sent, 1, 8)
    assert (new["weights"].tolist(), new["control"].tolist()) == ([4], [3.5])
    assert set(Scaffold().broadcast(new)) == {"weights", "control"}


IMAGES, CURVATURES, MINIMA = (1, 3, 8), (1.0, 2.0, 4.0), (10.0, -2.0, 1.0)
EVERYBODY, IN_TURNS = ((0, 1, 2),), ((0, 1), (1, 2), (0, 2))


@dataclass(frozen=True)
class Quadratic(Scaffold):
    """Client i, whose images all have label i, has the loss a_i / 2 * (w - t_i)^2 in every weight w."""

    def loss(self, local: Local, images: Tensor, labels: Tensor) -> Tensor:
        curvature, minimum = CURVATURES[int(labels[0])], MINIMA[int(labels[0])]
        parts = [(weights - minimum).square().sum() for weights in local.model.module.parameters()]
        return curvature / 2 * torch.stack(parts).sum()


@pytest.mark.parametrize("turns", [EVERYBODY, IN_TURNS])
def test_the_minimum_of_all_images_is_reached(turns: tuple[tuple[int, ...], ...]) -> None:
    """Three quadratics with 1, 3 and 8 images: the sum of n_i * a_i * (w - t_i) is 0 at w = 30 / 39.

    10 - 12 + 32 = 30, and 1 + 6 + 32 = 39. The even mean of the losses has its minimum at (10 - 4 + 4) / 7 = 10 / 7.
    Who takes part in a round does not matter in the end, nor that clients take 1, 2 and 3 steps.
    """
    algorithm, model = Quadratic(), FlatModel("simple-cnn", "group", 3, 16, seed=1)
    state, kept = algorithm.start(model.vector.numpy().copy()), dict[int, State]()
    normalise, settings = Normalisation((0.0,) * 3, (1.0,) * 3).on(16, "cpu"), LocalSettings(2, 0.0, 0.0)
    for number in range(36):
        updates = []
        for i in turns[number % len(turns)]:
            count, pixels = IMAGES[i], torch.zeros(IMAGES[i], 16, 16, 3, dtype=torch.uint8)
            update = training.train_client(
                model, algorithm, algorithm.broadcast(state), kept.get(i, {}), Loaded(pixels), torch.full((count,), i),
                real=torch.ones(count, dtype=torch.bool), normalise=normalise, settings=settings, learning_rate=0.1,
                samples=2 * (i + 1), weight=count, seed=1, second_model=lambda *_: model,
            )  # fmt: skip
            kept[i] = update.client_state
            updates.append(update)
        state = algorithm.aggregate(state, updates, len(model.parameters), sum(IMAGES))
    np.testing.assert_allclose(state["weights"], 30 / 39, rtol=2e-6)
