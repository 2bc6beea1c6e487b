import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pipeline.federated import local
from pipeline.federated.local import Hyper, Normalisation
from pipeline.federated.models import FlatModel

NORM = Normalisation((120.0, 100.0, 80.0), (50.0, 60.0, 70.0))
HYPER = Hyper(batch_size=4, learning_rate=0.05, momentum=0.9, weight_decay=0.01)


def images(count: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(2)
    pixels = torch.randint(0, 256, (count, 16, 16, 3), generator=generator, dtype=torch.uint8)
    return pixels, torch.arange(count) % 3


def trained(count: int, hyper: Hyper, steps: int, seed: int) -> tuple[Tensor, int]:
    model = FlatModel("simple-cnn", 3, 16, seed=1)
    samples = local.train(model, *images(count), NORM, hyper, steps, seed)
    return model.vector.clone(), samples


@settings(max_examples=60)
@given(st.integers(1, 30), st.integers(1, 12), st.integers(0, 20), st.integers(0, 2**62))
def test_batches_pass_over_all_images_again_and_again(count: int, size: int, steps: int, seed: int) -> None:
    """A pass is ceil(count / size) batches, all full but the last; it holds every index once."""
    drawn = [batch.tolist() for batch in local.batches(count, size, steps, seed)]
    assert len(drawn) == steps
    each = math.ceil(count / size)
    for start in range(0, steps, each):
        one_pass = drawn[start : start + each]
        lengths = [min(size, count - i * size) for i in range(len(one_pass))]
        assert [len(batch) for batch in one_pass] == lengths
        indexes = [index for batch in one_pass for index in batch]
        assert len(set(indexes)) == len(indexes)
        assert set(indexes) <= set(range(count))
    assert drawn == [batch.tolist() for batch in local.batches(count, size, steps, seed)]


def test_passes_and_seeds_have_orders_of_their_own() -> None:
    first, second = (batch.tolist() for batch in local.batches(50, 50, 2, 1))
    (other,) = (batch.tolist() for batch in local.batches(50, 50, 1, 2))
    assert first != second
    assert first != other
    assert first != list(range(50))


def test_train_is_deterministic_and_follows_its_seed() -> None:
    torch.manual_seed(1)
    first, samples = trained(10, HYPER, 5, seed=3)
    torch.manual_seed(2)
    again, _ = trained(10, HYPER, 5, seed=3)
    assert torch.equal(first, again)
    assert not torch.equal(first, trained(10, HYPER, 5, seed=4)[0])
    assert samples == 4 + 4 + 2 + 4 + 4


def test_no_step_changes_nothing() -> None:
    assert torch.equal(trained(10, HYPER, 0, seed=3)[0], FlatModel("simple-cnn", 3, 16, seed=1).vector)


def test_training_starts_with_a_fresh_momentum() -> None:
    """Two calls of three steps differ from one of six over the same batches only if momentum is carried over."""
    fresh, carried = Hyper(10, 0.05, 0.9, 0.0), FlatModel("simple-cnn", 3, 16, seed=1)
    for _ in range(2):
        local.train(carried, *images(10), NORM, fresh, 3, seed=3)
    other = FlatModel("simple-cnn", 3, 16, seed=1)
    local.train(other, *images(10), NORM, fresh, 6, seed=3)
    assert not torch.allclose(carried.vector, other.vector, atol=1e-4)
    alone = FlatModel("simple-cnn", 3, 16)
    alone.vector.copy_(trained(10, fresh, 3, seed=3)[0])
    local.train(alone, *images(10), NORM, fresh, 3, seed=3)
    assert torch.equal(alone.vector, carried.vector)


def test_one_full_batch_is_one_step_of_plain_sgd() -> None:
    """weights - rate x (gradient + decay x weights), by torch's own gradient."""
    hyper = Hyper(batch_size=10, learning_rate=0.05, momentum=0.9, weight_decay=0.01)
    model = FlatModel("simple-cnn", 3, 16, seed=1)
    start = model.vector.clone()
    pixels, labels = images(10)
    loss = torch.nn.functional.cross_entropy(model.module(NORM.apply(pixels)), labels)
    loss.backward()
    assert model.vector.grad is not None
    expected = start - 0.05 * (model.vector.grad + 0.01 * start)
    torch.testing.assert_close(trained(10, hyper, 1, seed=3)[0], expected, rtol=1e-4, atol=1e-6)


def test_training_learns() -> None:
    model = FlatModel("simple-cnn", 3, 16, seed=1)
    pixels, labels = images(12)
    _, before = local.test(model, pixels, labels, NORM)
    local.train(model, pixels, labels, NORM, Hyper(4, 0.05, 0.9, 0.0), 150, seed=3)
    accuracy, after = local.test(model, pixels, labels, NORM)
    assert accuracy == 1.0
    assert after < before / 2


def test_test_by_hand() -> None:
    """With all weights zero every logit is zero: loss log 3, and label 0 is always guessed, right for 4 of 12.

    A last bias of log 8 on label 1 makes its probability 8/10 and the others' 1/10.
    """
    model = FlatModel("simple-cnn", 3, 16)
    model.vector.zero_()
    pixels, labels = images(12)
    accuracy, loss = local.test(model, pixels, labels, NORM)
    assert accuracy == 4 / 12
    assert loss == pytest.approx(math.log(3), rel=1e-6)
    model.vector[-2] = math.log(8)
    accuracy, loss = local.test(model, pixels[1:2], labels[1:2], NORM)
    assert accuracy == 1.0
    assert loss == pytest.approx(-math.log(0.8), rel=1e-5)


def test_more_images_than_one_test_batch_are_all_counted() -> None:
    """2,100 images of which every third is right: 700 of 2,100."""
    model = FlatModel("simple-cnn", 3, 16)
    model.vector.zero_()
    pixels = torch.zeros(2_100, 16, 16, 3, dtype=torch.uint8)
    accuracy, loss = local.test(model, pixels, torch.arange(2_100) % 3, NORM)
    assert accuracy == 700 / 2_100
    assert loss == pytest.approx(math.log(3), rel=1e-5)


def test_normalisation_by_hand() -> None:
    """Levels 0, 0, 100, 100 have mean 50 and deviation 50; a channel of one level is divided by 1."""
    pixels = np.zeros((4, 2, 2, 3), np.uint8)
    pixels[2:, :, :, 0] = 100
    pixels[..., 2] = 7
    norm = Normalisation.of(pixels)
    assert norm == Normalisation((50.0, 0.0, 7.0), (50.0, 1.0, 1.0))
    floats = norm.apply(torch.from_numpy(pixels))
    assert floats.shape == (4, 3, 2, 2)
    assert floats[0, :, 0, 0].tolist() == [-1.0, 0.0, 0.0]
    assert floats[3, :, 1, 1].tolist() == [1.0, 0.0, 0.0]
    assert pixels[2, 0, 0].tolist() == [100, 0, 7]


@settings(max_examples=20)
@given(st.integers(0, 10**6))
def test_normalisation_is_mean_and_deviation(seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (5, 3, 4, 3)).astype(np.uint8)
    norm = Normalisation.of(pixels)
    np.testing.assert_allclose(norm.mean, pixels.mean(axis=(0, 1, 2)))
    np.testing.assert_allclose(norm.std, pixels.std(axis=(0, 1, 2)))
