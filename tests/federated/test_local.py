import math
import tracemalloc
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pipeline import seeds
from pipeline.federated import local
from pipeline.federated.algorithms import FedAvg
from pipeline.federated.local import Augmented, Hyper, Local, Normalisation
from pipeline.federated.models import FlatModel

NORM = Normalisation((120.0, 100.0, 80.0), (50.0, 60.0, 70.0))
NORMALISE = NORM.on(16, "cpu")
RATE = 0.05
HYPER = Hyper(batch_size=4, momentum=0.9, weight_decay=0.01)


def images(count: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(2)
    pixels = torch.randint(0, 256, (count, 16, 16, 3), generator=generator, dtype=torch.uint8)
    return pixels, torch.arange(count) % 3


def no_other(name: str, weights: Tensor) -> FlatModel:
    raise AssertionError(name)


def train(model: FlatModel, hyper: Hyper, steps: int, seed: int, count: int = 10) -> int:
    """Train a model from where it is; return the samples."""
    client = Local(model, {"weights": model.vector.clone()}, {}, hyper, RATE, no_other)
    samples = local.train(client, FedAvg(), *images(count), NORMALISE, steps, seed)
    assert client.steps == steps
    return samples


def trained(count: int, hyper: Hyper, steps: int, seed: int) -> tuple[Tensor, int]:
    model = FlatModel("simple-cnn", "group", 3, 16, seed=1)
    samples = train(model, hyper, steps, seed, count)
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
    assert torch.equal(trained(10, HYPER, 0, seed=3)[0], FlatModel("simple-cnn", "group", 3, 16, seed=1).vector)


def test_training_starts_with_a_fresh_momentum() -> None:
    """Two calls of three steps differ from one of six over the same batches only if momentum is carried over."""
    fresh, carried = Hyper(10, 0.9, 0.0), FlatModel("simple-cnn", "group", 3, 16, seed=1)
    for _ in range(2):
        train(carried, fresh, 3, seed=3)
    other = FlatModel("simple-cnn", "group", 3, 16, seed=1)
    train(other, fresh, 6, seed=3)
    assert not torch.allclose(carried.vector, other.vector, atol=1e-4)
    alone = FlatModel("simple-cnn", "group", 3, 16)
    alone.vector.copy_(trained(10, fresh, 3, seed=3)[0])
    train(alone, fresh, 3, seed=3)
    assert torch.equal(alone.vector, carried.vector)


def first_gradient() -> Tensor:
    """Return the gradient of all ten images at the weights that training starts from."""
    model = FlatModel("simple-cnn", "group", 3, 16, seed=1)
    pixels, labels = images(10)
    F.cross_entropy(model.module(NORMALISE(pixels)), labels).backward()
    return model.gradient


def test_one_full_batch_is_one_step_of_plain_sgd() -> None:
    """weights - rate x (gradient + decay x weights), by torch's own gradient."""
    hyper = Hyper(batch_size=10, momentum=0.9, weight_decay=0.01)
    model = FlatModel("simple-cnn", "group", 3, 16, seed=1)
    start, gradient = model.vector.clone(), first_gradient()
    expected = start - 0.05 * (gradient + 0.01 * start)
    torch.testing.assert_close(trained(10, hyper, 1, seed=3)[0], expected, rtol=1e-4, atol=1e-6)


def test_training_learns() -> None:
    model = FlatModel("simple-cnn", "group", 3, 16, seed=1)
    pixels, labels = images(12)
    _, before = local.test(model, pixels, labels, NORMALISE, 3)
    train(model, Hyper(4, 0.9, 0.0), 150, seed=3, count=12)
    right, after = local.test(model, pixels, labels, NORMALISE, 3)
    assert right.tolist() == [4, 4, 4]
    assert after < before / 2


def test_test_by_hand() -> None:
    """With all weights zero every logit is zero: each loss log 3, and label 0 is always guessed, right for 4 of 12.

    A last bias of log 8 on label 1 makes its probability 8/10 and the others' 1/10.
    """
    model = FlatModel("simple-cnn", "group", 3, 16)
    model.vector.zero_()
    pixels, labels = images(12)
    right, loss = local.test(model, pixels, labels, NORMALISE, 3)
    assert right.tolist() == [4, 0, 0]
    assert loss == pytest.approx(12 * math.log(3), rel=1e-6)
    model.vector[-2] = math.log(8)
    right, loss = local.test(model, pixels[1:3], labels[1:3], NORMALISE, 3)
    assert right.tolist() == [0, 1, 0]
    assert loss == pytest.approx(-math.log(0.8) - math.log(0.1), rel=1e-5)


def test_more_images_than_one_test_batch_are_all_counted() -> None:
    """2,100 images of which every third is right: 700 of the first class. A fourth class has no image."""
    model = FlatModel("simple-cnn", "group", 4, 16)
    model.vector.zero_()
    pixels = torch.zeros(2_100, 16, 16, 3, dtype=torch.uint8)
    right, loss = local.test(model, pixels, torch.arange(2_100) % 3, NORMALISE, 4)
    assert right.tolist() == [700, 0, 0, 0]
    assert loss == pytest.approx(2_100 * math.log(4), rel=1e-5)


def test_a_test_leaves_the_averages_of_batch_norm_alone() -> None:
    model = FlatModel("resnet20", "batch", 3, 16)
    before = model.vector.clone()
    local.test(model, *images(12), NORMALISE, 3)
    assert torch.equal(model.vector, before)


def test_a_gradient_that_is_too_long_is_shortened_and_keeps_its_direction() -> None:
    """A step without momentum is rate x gradient; with a limit of half its length it is half as long, with twice as is.

    The limit counts before weight decay is added.
    """
    gradient, start = first_gradient(), FlatModel("simple-cnn", "group", 3, 16, seed=1).vector
    length = float(gradient.norm())
    assert length > 0.01
    for limit, share in ((length / 2, 0.5), (length * 2, 1.0), (length * 0.999, 0.999)):
        for decay in (0.0, 0.5):
            hyper = Hyper(batch_size=10, momentum=0.0, weight_decay=decay, clip_norm=limit)
            step = trained(10, hyper, 1, seed=3)[0] - start
            expected = -RATE * (share * gradient + decay * start)
            torch.testing.assert_close(step, expected, rtol=1e-3, atol=1e-7)


def test_an_augmented_image_is_a_crop_of_the_reflected_one_or_its_mirror_image() -> None:
    """Sixteen rows and 24 columns may move by two either way: 5 x 5 crops, each as it is or mirrored, all drawn."""
    pixels = torch.randint(0, 256, (3, 16, 24, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    padded = F.pad(pixels.permute(0, 3, 1, 2).float(), (2, 2, 2, 2), mode="reflect").to(torch.uint8).permute(0, 2, 3, 1)
    possible: list[dict[bytes, tuple[int, int, bool]]] = []
    for image in padded:
        crops = {(y, x): image[y : y + 16, x : x + 24] for y in range(5) for x in range(5)}
        plain = {crop.numpy().tobytes(): (*place, False) for place, crop in crops.items()}
        mirrored = {crop.flip(1).numpy().tobytes(): (*place, True) for place, crop in crops.items()}
        possible.append({**plain, **mirrored})
    assert [len(crops) for crops in possible] == [50] * 3
    augmented, seen = Augmented(pixels, seed=4), set()
    for _ in range(100):
        drawn = augmented[torch.tensor([2, 0, 2, 1])]
        assert drawn.shape == (4, 16, 24, 3)
        for row, image in zip([2, 0, 2, 1], drawn, strict=True):
            seen.add(possible[row][image.numpy().tobytes()])
    assert len(seen) == 50


def test_augmentation_follows_its_seed() -> None:
    pixels, _ = images(10)

    def draws(seed: int) -> list[bytes]:
        augmented = Augmented(pixels, seed)
        return [augmented[torch.arange(10)].numpy().tobytes() for _ in range(3)]

    first = draws(1)
    assert first == draws(1)
    assert len({*first, *draws(2)}) == 6


def test_training_augments_if_it_is_to() -> None:
    """Equal seeds give equal weights, and other ones than training on the images as they are."""
    hyper = replace(HYPER, augment=True)
    first, samples = trained(10, hyper, 5, seed=3)
    assert torch.equal(first, trained(10, hyper, 5, seed=3)[0])
    assert not torch.equal(first, trained(10, HYPER, 5, seed=3)[0])
    assert samples == 4 + 4 + 2 + 4 + 4


@dataclass(frozen=True)
class Watching(FedAvg):
    """FedAvg that keeps the images of its batches, and the seed of the stream that dropout draws from."""

    batches: list[Tensor] = field(default_factory=list)
    seeds: list[int] = field(default_factory=list)

    def loss(self, local: Local, images: Tensor, labels: Tensor) -> Tensor:
        self.batches.append(images.round().long())
        self.seeds.append(torch.initial_seed())
        return super().loss(local, images, labels)


def test_an_images_shift_does_not_follow_from_its_index() -> None:
    """Image i has level i in red, and its row's number in green: row 8 of a moved image shows 8 - 2 + its shift.

    From one stream, its first number r makes r % 10 the first index and r % 5 the first shift: always index % 5.
    """
    pixels = torch.zeros(10, 16, 16, 3, dtype=torch.uint8)
    pixels[..., 0] = torch.arange(10)[:, None, None]
    pixels[..., 1] = torch.arange(16)[:, None]
    plain = Normalisation((0.0,) * 3, (1.0,) * 3).on(16, "cpu")
    watching, model = Watching(), FlatModel("simple-cnn", "group", 3, 16, seed=1)
    down = {"weights": model.vector.clone()}
    for seed in range(100):
        client = Local(model, down, {}, replace(HYPER, batch_size=10, augment=True), RATE, no_other)
        local.train(client, watching, pixels, torch.arange(10) % 3, plain, 1, seed)
    firsts = [(int(images[0, 0, 8, 8]), int(images[0, 1, 8, 8]) - 6) for images in watching.batches]
    assert {index for index, _ in firsts} == set(range(10))
    assert {shift for _, shift in firsts} == set(range(5))
    assert sum(shift == index % 5 for index, shift in firsts) < 50


def test_dropout_has_a_stream_of_its_own() -> None:
    watching, model = Watching(), FlatModel("simple-cnn", "group", 3, 16, seed=1)
    client = Local(model, {"weights": model.vector.clone()}, {}, replace(HYPER, augment=True), RATE, no_other)
    local.train(client, watching, *images(10), NORMALISE, 1, 5)
    assert watching.seeds == [seeds.derive(5, "dropout")]
    assert len({5, watching.seeds[0], seeds.derive(5, "augmentation")}) == 3


def test_normalisation_counts_chunk_by_chunk_in_little_memory() -> None:
    """Three million pixels, of which a chunk of one million takes 9 MB, and the last chunk is part-full."""
    pixels = np.random.default_rng(1).integers(0, 256, (45, 256, 260, 3)).astype(np.uint8)
    pixels[40:, :, :, 1] = 9
    tracemalloc.start()
    norm = Normalisation.of(pixels)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 15e6
    for channel in range(3):
        histogram = np.bincount(pixels[..., channel].ravel(), minlength=256)
        mean = float(histogram @ np.arange(256)) / histogram.sum()
        assert norm.mean[channel] == mean
        assert norm.std[channel] == float(np.sqrt(histogram @ (np.arange(256) - mean) ** 2 / histogram.sum()))


def test_normalisation_by_hand() -> None:
    """Levels 0, 0, 100, 100 have mean 50 and deviation 50; a channel of one level is divided by 1."""
    pixels = np.zeros((4, 2, 2, 3), np.uint8)
    pixels[2:, :, :, 0] = 100
    pixels[..., 2] = 7
    norm = Normalisation.of(pixels)
    assert norm == Normalisation((50.0, 0.0, 7.0), (50.0, 1.0, 1.0))
    floats = norm.on(2, "cpu")(torch.from_numpy(pixels))
    assert floats.shape == (4, 3, 2, 2)
    assert floats[0, :, 0, 0].tolist() == [-1.0, 0.0, 0.0]
    assert floats[3, :, 1, 1].tolist() == pytest.approx([1.0, 0.0, 0.0], abs=1e-6)
    assert pixels[2, 0, 0].tolist() == [100, 0, 7]


@settings(max_examples=20)
@given(st.integers(0, 10**6))
def test_normalisation_is_mean_and_deviation(seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (5, 3, 4, 3)).astype(np.uint8)
    norm = Normalisation.of(pixels)
    np.testing.assert_allclose(norm.mean, pixels.mean(axis=(0, 1, 2)))
    np.testing.assert_allclose(norm.std, pixels.std(axis=(0, 1, 2)))
