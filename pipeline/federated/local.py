"""What happens on one client, and testing: the hot loops."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from pipeline.federated.models import FlatModel

_TEST_BATCH = 1_000

Vector = NDArray[np.float32]


@dataclass(frozen=True)
class Hyper:
    """What local training needs beside data and weights."""

    batch_size: int
    learning_rate: float
    momentum: float
    weight_decay: float


@dataclass(frozen=True)
class Normalisation:
    """Mean and standard deviation of each channel, on the scale of bytes."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def of(cls, pixels: NDArray[np.uint8]) -> "Normalisation":
        """Measure images (N, H, W, 3) exactly, from the histogram of each channel."""
        levels = np.arange(256)
        mean, std = [], []
        for channel in range(pixels.shape[3]):
            histogram = np.bincount(pixels[..., channel].ravel(), minlength=256)
            centre = float(histogram @ levels) / histogram.sum()
            mean.append(centre)
            std.append(max(float(np.sqrt(histogram @ (levels - centre) ** 2 / histogram.sum())), 1.0))
        return cls(tuple(mean), tuple(std))

    def apply(self, images: Tensor) -> Tensor:
        """Return byte images (N, H, W, 3) as normalised floats (N, 3, H, W) in channels-last layout."""
        count, height, width, channels = images.shape
        rows = images.view(count, height, width * channels).float()  # long rows: broadcasting over 3 channels is slow
        rows.sub_(torch.tensor(self.mean).repeat(width)).div_(torch.tensor(self.std).repeat(width))
        return rows.view(images.shape).permute(0, 3, 1, 2)


def batches(count: int, batch_size: int, steps: int, seed: int) -> Iterator[Tensor]:
    """Yield ``steps`` batches of indexes below ``count``: pass after pass, each in its own order, no part-pass lost."""
    generator = torch.Generator().manual_seed(seed)
    while steps > 0:
        for batch in torch.randperm(count, generator=generator).split(batch_size)[:steps]:
            yield batch
            steps -= 1


def train(
    model: FlatModel, images: Tensor, labels: Tensor, norm: Normalisation, hyper: Hyper, steps: int, seed: int
) -> int:
    """Take ``steps`` of SGD from the model's weights, in place, with a fresh momentum; return the samples used.

    ``images`` is (n, H, W, 3) bytes, ``labels`` (n,).
    """
    assert model.vector.grad is not None
    optimizer = torch.optim.SGD(
        [model.vector],
        lr=hyper.learning_rate,
        momentum=hyper.momentum,
        weight_decay=hyper.weight_decay,
        fused=True,
    )
    samples = 0
    for batch in batches(len(labels), hyper.batch_size, steps, seed):
        model.vector.grad.zero_()
        loss = F.cross_entropy(model.module(norm.apply(images[batch])), labels[batch])
        loss.backward()
        optimizer.step()
        samples += len(batch)
    return samples


@torch.inference_mode()
def test(model: FlatModel, images: Tensor, labels: Tensor, norm: Normalisation) -> tuple[float, float]:
    """Return accuracy and mean cross-entropy on ``images`` (n, H, W, 3) bytes."""
    right, loss = 0, 0.0
    for start in range(0, len(labels), _TEST_BATCH):
        part = slice(start, start + _TEST_BATCH)
        logits = model.module(norm.apply(images[part]))
        right += int((logits.argmax(1) == labels[part]).sum())
        loss += float(F.cross_entropy(logits, labels[part], reduction="sum"))
    return right / len(labels), loss / len(labels)
