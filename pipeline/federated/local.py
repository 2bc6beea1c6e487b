"""What happens on one client, and testing: the hot loops."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from pipeline import seeds
from pipeline.data import histograms
from pipeline.federated import draws
from pipeline.federated.algorithm import WEIGHTS, Algorithm, Local, LocalSettings, SecondModel, State, Update
from pipeline.federated.draws import Chances
from pipeline.federated.models import FlatModel

_TEST_BATCH = 100  # what fits a core's cache: larger ones are slower, ResNet-20 by a fifth


@dataclass(frozen=True)
class Normalisation:
    """Mean and standard deviation of each channel, on the scale of bytes."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def of(cls, pixels: NDArray[np.uint8]) -> Normalisation:
        """Measure images (N, H, W, channels)."""
        counts = histograms.empty(pixels.shape[3])
        histograms.add(counts, pixels)
        return cls(*histograms.moments(counts))

    def on(self, width: int, device: str) -> Normalise:
        """Return the function that normalises images of this width on this device."""
        mean, std = (torch.tensor(values, dtype=torch.float32) for values in (self.mean, self.std))
        scale, shift = ((1 / std).repeat(width).to(device), (-mean / std).repeat(width).to(device))

        def apply(images: Tensor) -> Tensor:
            rows = images.flatten(2).float()  # long rows: broadcasting over 3 channels is slow
            return torch.addcmul(shift, rows, scale).view(images.shape).permute(0, 3, 1, 2)

        return apply


Normalise = Callable[[Tensor], Tensor]
"""Byte images (N, H, W, 3) to normalised floats (N, 3, H, W) in channels-last layout."""


class Pictures(Protocol):
    """A client's images, read by the batch."""

    def __len__(self) -> int: ...

    def take(self, rows: Tensor) -> Tensor:
        """Return the images (B, H, W, 3) of ``rows`` (B,), as bytes on the device that trains.

        ``rows`` are int64 indexes below the number of images, on the CPU; they may repeat.
        """
        ...


@dataclass(frozen=True)
class Loaded:
    """Images (n, H, W, 3) that are on the device that trains."""

    images: Tensor

    def __len__(self) -> int:
        return len(self.images)

    def take(self, rows: Tensor) -> Tensor:
        return self.images.index_select(0, rows.to(self.images.device))


class Augmented:
    """Images that are shifted at random by up to an eighth of their size, each time they are read.

    With ``mirror`` half of them are also mirrored, which makes another picture of a digit or of text. The image is
    reflected at its border, as in NIID-Bench's training on CIFAR-10.
    """

    def __init__(self, pictures: Pictures, seed: int, *, mirror: bool) -> None:
        self.pictures, self.chance, self.mirror = pictures, torch.Generator().manual_seed(seed), mirror

    def __len__(self) -> int:
        return len(self.pictures)

    def take(self, rows: Tensor) -> Tensor:
        images = self.pictures.take(rows)
        count, height, width, channels = images.shape
        most, rows_read, bytes_read = _shifts(height, width, channels)
        down, right = torch.randint(0, 2 * most + 1, (2, count), generator=self.chance)
        if self.mirror:
            right.add_(torch.randint(0, 2, (count,), generator=self.chance), alpha=2 * most + 1)
        y = rows_read.index_select(0, down).add_(torch.arange(0, count * height, height)[:, None])
        x = bytes_read.index_select(0, right)
        # First whole rows, then the bytes within a row: several times as fast as one index of both.
        shifted = images.reshape(count * height, -1).index_select(0, y.view(-1).to(images.device))
        index = x[:, None].to(images.device).expand(count, height, width * channels)
        return shifted.view(index.shape).gather(2, index).view(images.shape)


@cache
def _shifts(height: int, width: int, channels: int) -> tuple[int, Tensor, Tensor]:
    """Return the largest shift m, which rows of an image each shift reads, and which bytes of a row.

    The rows are (2m + 1, H), for shifts from -m to m; the bytes are (2 x (2m + 1), W x channels), first for shifts of
    the image as it is, then of the mirrored image.
    """
    most = min(height, width) // 8
    shifts = torch.arange(-most, most + 1)[:, None]
    rows, columns = (_reflected(shifts + torch.arange(size), size) for size in (height, width))
    columns = torch.cat([columns, columns.flip(1)])
    return most, rows, (columns[:, :, None] * channels + torch.arange(channels)).flatten(1)


def _reflected(places: Tensor, size: int) -> Tensor:
    """Return the indexes of the pixels at ``places``, which may be outside 0 ... size - 1 by less than ``size``."""
    return size - 1 - (size - 1 - places.abs()).abs()


def train_client(
    model: FlatModel,
    algorithm: Algorithm,
    broadcast: State,
    client_state: State,
    images: Pictures,
    labels: Tensor,
    *,
    real: Tensor,
    normalise: Normalise,
    settings: LocalSettings,
    learning_rate: float,
    samples: int,
    weight: int,
    seed: int,
    second_model: SecondModel,
) -> Update:
    """Train one client on ``samples`` images and return its update; a pure function of its arguments.

    ``model`` gives the architecture and the memory: its weights are overwritten. ``labels`` (n,) are on its device.
    ``real`` (n,) says which images are real; it, ``broadcast`` and ``client_state`` are in the memory of the CPU, as is
    everything in the update. ``weight`` is what the client counts in averages.
    """
    device = model.vector.device
    sent, own = _tensors(broadcast, device), _tensors(client_state, device)
    local = Local(model, sent, own, settings, learning_rate, second_model, labels)
    train(local, algorithm, images, normalise, samples, seed, draws.chances(labels, real, settings))
    up, kept = algorithm.end(local)
    return Update(up, kept, weight, local.steps, samples)


def _tensors(state: State, device: torch.device) -> dict[str, Tensor]:
    # Arrays from a network's buffers are read-only; torch has no such tensors and warns of sharing their memory.
    vectors = {name: vector if vector.flags.writeable else vector.copy() for name, vector in state.items()}
    return {name: torch.from_numpy(vector).to(device) for name, vector in vectors.items()}


def train(
    local: Local,
    algorithm: Algorithm,
    images: Pictures,
    normalise: Normalise,
    samples: int,
    seed: int,
    uneven: Chances | None = None,
) -> None:
    """Take steps of SGD on ``samples`` images in all, from the global weights, with a fresh momentum.

    ``uneven`` says how often each of ``images`` is drawn; None: all alike. ``seed`` decides the order of batches;
    augmentation and dropout have random streams of their own, derived from it: from a shared one, an image's shift
    would follow from its index.
    """
    model, settings, labels = local.model, local.settings, local.labels
    model.vector.copy_(local.broadcast[WEIGHTS])
    model.module.train()
    optimizer = _optimizer(local)
    torch.manual_seed(seeds.derive(seed, "dropout"))  # where a model has any
    images = _augmented(images, settings.augment, seed)
    for batch in draws.batches(len(labels), settings.batch_size, samples, seed, uneven):
        alone = len(batch) == 1 and len(model.vector) > len(model.parameters)
        if alone:  # one image has no batch statistics, so the running ones are used
            model.module.eval()
        model.gradient.zero_()
        algorithm.loss(local, normalise(images.take(batch)), labels[batch.to(labels.device)]).backward()
        algorithm.before_step(local)
        if settings.clip_norm is not None:
            model.gradient.mul_(torch.clamp(settings.clip_norm / (model.gradient.norm() + 1e-6), max=1.0))
        optimizer.param_groups[0]["lr"] = local.learning_rate  # an algorithm may change it from step to step
        optimizer.step()
        local.steps += 1
        algorithm.after_step(local)
        if alone:
            model.module.train()


def _optimizer(local: Local) -> torch.optim.SGD:
    settings = local.settings
    return torch.optim.SGD(
        [local.model.parameters],
        lr=local.learning_rate,
        momentum=settings.momentum,
        weight_decay=settings.weight_decay,
        fused=True,
    )


def _augmented(images: Pictures, how: str, seed: int) -> Pictures:
    if how == "none":
        return images
    return Augmented(images, seeds.derive(seed, "augmentation"), mirror=how == "shift-mirror")


@torch.inference_mode()
def test(
    model: FlatModel,
    images: Tensor,
    labels: Tensor,
    normalise: Normalise,
    number: int,
    groups: Tensor | None = None,  # noqa: PT028  # it tests a model, and is no test of pytest
) -> tuple[Tensor, float]:
    """Return how many images (n, H, W, 3) of each group are recognised, (number,), and the sum of cross-entropies.

    ``groups`` (n,) are numbers below ``number``, such as pairs of label and domain; None: the labels.
    """
    counted = labels if groups is None else groups
    model.module.eval()
    right, loss = torch.zeros(number, dtype=torch.int64, device=labels.device), 0.0
    for start in range(0, len(labels), _TEST_BATCH):
        part = slice(start, start + _TEST_BATCH)
        logits, known = model.module(normalise(images[part])), labels[part]
        right += torch.bincount(counted[part][logits.argmax(1) == known], minlength=number)
        loss += float(F.cross_entropy(logits, known, reduction="sum"))
    return right.cpu(), loss
