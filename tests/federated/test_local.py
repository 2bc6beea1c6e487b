import math
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline import seeds
from pipeline.federated import draws, local
from pipeline.federated.algorithm import Algorithm, Local, LocalSettings, State, Update
from pipeline.federated.algorithms.fedavg import FedAvg
from pipeline.federated.algorithms.moon import Moon
from pipeline.federated.algorithms.scaffold import Scaffold
from pipeline.federated.local import Loaded, Normalisation
from pipeline.federated.models import FlatModel, SecondModels

NORM = Normalisation((120.0, 100.0, 80.0), (50.0, 60.0, 70.0))
NORMALISE = NORM.on(16, "cpu")
RATE = 0.05
SETTINGS = LocalSettings(batch_size=4, momentum=0.9, weight_decay=0.01)


def images(count: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(2)
    pixels = torch.randint(0, 256, (count, 16, 16, 3), generator=generator, dtype=torch.uint8)
    return pixels, torch.arange(count) % 3


def loaded(count: int) -> tuple[Loaded, Tensor]:
    pixels, labels = images(count)
    return Loaded(pixels), labels


def no_second_model(name: str, weights: Tensor) -> FlatModel:
    raise AssertionError(name)


def begun(model: FlatModel, settings: LocalSettings, count: int = 10) -> Local:
    """Return a training on so many images, from where the model is."""
    return Local(model, {"weights": model.vector.clone()}, {}, settings, RATE, no_second_model, images(count)[1])


def train(model: FlatModel, settings: LocalSettings, samples: int, seed: int, count: int = 10) -> None:
    client = begun(model, settings, count)
    local.train(client, FedAvg(), loaded(count)[0], NORMALISE, samples, seed)
    assert client.steps == math.ceil(samples / settings.batch_size)


def trained(count: int, settings: LocalSettings, samples: int, seed: int) -> Tensor:
    model = FlatModel("simple-cnn", "group", 3, 16, seed=1)
    train(model, settings, samples, seed, count)
    return model.vector.clone()


def test_train_is_deterministic_and_follows_its_seed() -> None:
    torch.manual_seed(1)
    first = trained(10, SETTINGS, 18, seed=3)
    torch.manual_seed(2)
    assert torch.equal(first, trained(10, SETTINGS, 18, seed=3))
    assert not torch.equal(first, trained(10, SETTINGS, 18, seed=4))


def test_no_sample_changes_nothing() -> None:
    assert torch.equal(trained(10, SETTINGS, 0, seed=3), FlatModel("simple-cnn", "group", 3, 16, seed=1).vector)


def test_training_starts_with_a_fresh_momentum() -> None:
    """Two calls of three passes differ from one of six over the same batches only if momentum is carried over."""
    fresh, carried = LocalSettings(10, 0.9, 0.0), FlatModel("simple-cnn", "group", 3, 16, seed=1)
    for _ in range(2):
        train(carried, fresh, 30, seed=3)
    other = FlatModel("simple-cnn", "group", 3, 16, seed=1)
    train(other, fresh, 60, seed=3)
    assert not torch.allclose(carried.vector, other.vector, atol=1e-4)
    alone = FlatModel("simple-cnn", "group", 3, 16)
    alone.vector.copy_(trained(10, fresh, 30, seed=3))
    train(alone, fresh, 30, seed=3)
    assert torch.equal(alone.vector, carried.vector)


def first_gradient() -> Tensor:
    """Return the gradient of all ten images at the weights that training starts from."""
    model = FlatModel("simple-cnn", "group", 3, 16, seed=1)
    pixels, labels = images(10)
    F.cross_entropy(model.module(NORMALISE(pixels)), labels).backward()
    return model.gradient


def test_one_full_batch_is_one_step_of_plain_sgd() -> None:
    """weights - rate x (gradient + decay x weights), by torch's own gradient."""
    settings = LocalSettings(batch_size=10, momentum=0.9, weight_decay=0.01)
    model = FlatModel("simple-cnn", "group", 3, 16, seed=1)
    start, gradient = model.vector.clone(), first_gradient()
    expected = start - 0.05 * (gradient + 0.01 * start)
    torch.testing.assert_close(trained(10, settings, 10, seed=3), expected, rtol=1e-4, atol=1e-6)


def test_training_learns() -> None:
    model = FlatModel("simple-cnn", "group", 3, 16, seed=1)
    pixels, labels = images(12)
    _, before = local.test(model, pixels, labels, NORMALISE, 3)
    train(model, LocalSettings(4, 0.9, 0.0), 600, seed=3, count=12)
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
            settings = LocalSettings(batch_size=10, momentum=0.0, weight_decay=decay, clip_norm=limit)
            step = trained(10, settings, 10, seed=3) - start
            expected = -RATE * (share * gradient + decay * start)
            torch.testing.assert_close(step, expected, rtol=1e-3, atol=1e-7)


def test_training_augments_if_it_is_to() -> None:
    """Equal seeds give equal weights, and other ones than training on the images as they are."""
    plain, *moved = (replace(SETTINGS, augment=augment) for augment in ("none", "shift", "shift-mirror"))
    ends = [trained(10, settings, 18, seed=3).numpy().tobytes() for settings in (plain, *moved)]
    assert len(set(ends)) == 3
    assert ends == [trained(10, settings, 18, seed=3).numpy().tobytes() for settings in (plain, *moved)]


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
    for seed in range(100):
        client = begun(model, replace(SETTINGS, batch_size=10, augment="shift"))
        local.train(client, watching, Loaded(pixels), plain, 10, seed)
    firsts = [(int(images[0, 0, 8, 8]), int(images[0, 1, 8, 8]) - 6) for images in watching.batches]
    assert {index for index, _ in firsts} == set(range(10))
    assert {shift for _, shift in firsts} == set(range(5))
    assert sum(shift == index % 5 for index, shift in firsts) < 50


def test_dropout_has_a_stream_of_its_own() -> None:
    watching, model = Watching(), FlatModel("simple-cnn", "group", 3, 16, seed=1)
    local.train(begun(model, replace(SETTINGS, augment="shift")), watching, loaded(10)[0], NORMALISE, 4, 5)
    assert watching.seeds == [seeds.derive(5, "dropout")]
    assert len({5, watching.seeds[0], seeds.derive(5, "augmentation")}) == 3


def second_models() -> SecondModels:
    return SecondModels(lambda: FlatModel("simple-cnn", "group", 3, 16))


def client_update(
    start: State, kept: State, algorithm: Algorithm, settings: LocalSettings, samples: int = 18
) -> Update:
    """Train on ten images with a model whose weights and gradients are left from something else."""
    model = FlatModel("simple-cnn", "group", 3, 16, seed=9)
    model.gradient.fill_(7.0)
    return local.train_client(
        model,
        algorithm,
        start,
        kept,
        *loaded(10),
        real=torch.arange(10) < 4,
        normalise=NORMALISE,
        settings=settings,
        learning_rate=RATE,
        samples=samples,
        weight=7,
        seed=3,
        second_model=second_models(),
    )


def test_train_client_is_training_from_the_broadcast_weights() -> None:
    """18 samples of ten images in batches of 4 are five steps, the last one on two images."""
    for chosen in (SETTINGS, replace(SETTINGS, augment="shift-mirror", clip_norm=0.5)):
        start = FlatModel("simple-cnn", "group", 3, 16, seed=1).vector.numpy()
        before = start.copy()
        update = client_update({"weights": start}, {}, FedAvg(), chosen)
        assert np.array_equal(update.up["weights"], trained(10, chosen, 18, seed=3).numpy())
        assert (update.client_state, update.weight, update.steps, update.samples) == ({}, 7, 5, 18)
        assert np.array_equal(start, before)


def test_train_client_takes_and_returns_what_a_client_keeps() -> None:
    """SCAFFOLD with c = 0.5, c_i = 0.25 and no sample: c_i+ = c_i - c = -0.25, sent as its change of -0.5.

    MOON compares with the model it kept, so that the second round needs two second models.
    """
    start = FlatModel("simple-cnn", "group", 3, 16, seed=1).vector.numpy()
    control = {"control": np.full_like(start, 0.25)}
    update = client_update({"weights": start, "control": np.full_like(start, 0.5)}, control, Scaffold(), SETTINGS, 0)
    assert np.unique(update.client_state["control"]).tolist() == [-0.25]
    assert np.unique(update.up["control"]).tolist() == [-0.5]
    first = client_update({"weights": start}, {}, Moon(), SETTINGS)
    assert np.array_equal(first.client_state["weights"], first.up["weights"])
    again = client_update({"weights": start}, first.client_state, Moon(), SETTINGS)
    assert not np.array_equal(again.up["weights"], first.up["weights"])


def test_train_client_takes_read_only_arrays() -> None:
    """Arrays over a network's buffer cannot be written; torch would warn, and a warning is an error here."""
    start = FlatModel("simple-cnn", "group", 3, 16, seed=1).vector.numpy()
    fixed = np.frombuffer(start.tobytes(), np.float32)
    assert not fixed.flags.writeable
    update = client_update({"weights": fixed}, {}, FedAvg(), SETTINGS)
    assert np.array_equal(update.up["weights"], trained(10, SETTINGS, 18, seed=3).numpy())


@dataclass
class Counting:
    """Images that are read when they are asked for; keeps which rows were."""

    pixels: Tensor
    asked: list[list[int]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.pixels)

    def take(self, rows: Tensor) -> Tensor:
        self.asked.append(rows.tolist())
        return self.pixels[rows].clone()


@pytest.mark.parametrize("augment", ["none", "shift", "shift-mirror"])
def test_images_are_read_by_the_batch(augment: str) -> None:
    """The first read is the first batch: nothing reads a client's images as a whole, augmented or not."""
    settings = replace(SETTINGS, augment=augment)
    counting, model = Counting(images(10)[0]), FlatModel("simple-cnn", "group", 3, 16, seed=1)
    local.train(begun(model, settings), FedAvg(), counting, NORMALISE, 18, 3)
    assert counting.asked == [batch.tolist() for batch in draws.batches(10, 4, 18, 3)]
    assert torch.equal(model.vector, trained(10, settings, 18, seed=3))


@pytest.mark.parametrize("changes", [{"sampling": "class-balanced"}, {"real_weight": 3.0}])
def test_images_are_drawn_as_the_settings_say(changes: dict[str, Any]) -> None:
    """From a client whose first four of ten images are real."""
    settings = replace(SETTINGS, **changes)
    uneven = draws.chances(images(10)[1], torch.arange(10) < 4, settings)
    assert uneven is not None
    model = FlatModel("simple-cnn", "group", 3, 16, seed=1)
    start = model.vector.numpy().copy()
    local.train(begun(model, settings), FedAvg(), loaded(10)[0], NORMALISE, 18, 3, uneven)
    assert np.array_equal(client_update({"weights": start}, {}, FedAvg(), settings).up["weights"], model.vector)
    assert not torch.equal(model.vector, trained(10, SETTINGS, 18, seed=3))
