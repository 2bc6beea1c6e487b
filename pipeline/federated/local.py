"""What happens on one client, and testing: the hot loops."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from pipeline import seeds
from pipeline.federated.algorithms import FedAvg
from pipeline.federated.models import FlatModel

_TEST_BATCH = 100  # what fits a core's cache: larger ones are slower, ResNet-20 by a fifth
_MEASURED = 1 << 20  # pixels counted at a time: bincount takes nine bytes for each


@dataclass(frozen=True)
class Hyper:
    """What local training needs beside data and weights."""

    batch_size: int
    momentum: float
    weight_decay: float
    clip_norm: float | None = None
    """Longest gradient (Euclidean norm of all parameters together); None: any."""
    augment: bool = False
    """Move and mirror images at random (see ``Augmented``)."""


@dataclass(frozen=True)
class Normalisation:
    """Mean and standard deviation of each channel, on the scale of bytes."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def of(cls, pixels: NDArray[np.uint8]) -> Normalisation:
        """Measure images (N, H, W, 3) exactly, from the histogram of each channel, in memory that N does not change."""
        count, height, width, channels = pixels.shape
        levels, histograms = np.arange(256), np.zeros((channels, 256), np.int64)
        each = max(1, _MEASURED // (height * width))
        for start in range(0, count, each):
            part = pixels[start : start + each]
            histograms += [np.bincount(part[..., i].ravel(), minlength=256) for i in range(channels)]
        mean, std = [], []
        for histogram in histograms:
            centre = float(histogram @ levels) / histogram.sum()
            mean.append(centre)
            std.append(max(float(np.sqrt(histogram @ (levels - centre) ** 2 / histogram.sum())), 1.0))
        return cls(tuple(mean), tuple(std))

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


@dataclass
class Local:
    """One client's local training, as the algorithm sees it."""

    model: FlatModel
    down: Mapping[str, Tensor]
    """What the server sent."""
    own: Mapping[str, Tensor]
    """What the client kept from the last time it took part; empty the first time."""
    hyper: Hyper
    rate: float
    """Learning rate of this round."""
    other: Callable[[str, Tensor], FlatModel]
    """Returns a second model of the given name with these weights, for algorithms that compare models."""
    steps: int = 0
    """Taken so far."""
    notes: dict[str, Tensor] = field(default_factory=dict)
    """What an algorithm computes once for the whole of a client's training."""

    @property
    def start(self) -> Tensor:
        """The parameters (P,) that training began with."""
        return self.down["weights"][: len(self.model.parameters)]


def batches(count: int, batch_size: int, steps: int, seed: int) -> Iterator[Tensor]:
    """Yield ``steps`` batches of indexes below ``count``: pass after pass, each in its own order, no part-pass lost."""
    generator = torch.Generator().manual_seed(seed)
    while steps > 0:
        for batch in torch.randperm(count, generator=generator).split(batch_size)[:steps]:
            yield batch
            steps -= 1


def train(
    local: Local, algorithm: FedAvg, images: Tensor, labels: Tensor, normalise: Normalise, steps: int, seed: int
) -> int:
    """Take ``steps`` of SGD from the global weights, with a fresh momentum; return the samples used.

    ``images`` is (n, H, W, 3) bytes, ``labels`` (n,). ``seed`` decides the order of batches; augmentation and dropout
    have streams of their own, derived from it: from a shared one, an image's shift would follow from its index.
    """
    model, hyper, samples = local.model, local.hyper, 0
    model.vector.copy_(local.down["weights"])
    model.module.train()
    optimizer = torch.optim.SGD(
        [model.parameters], lr=local.rate, momentum=hyper.momentum, weight_decay=hyper.weight_decay, fused=True
    )
    torch.manual_seed(seeds.derive(seed, "dropout"))  # where a model has any
    moved = Augmented(images, seeds.derive(seed, "augmentation")) if hyper.augment else None
    take = moved.__getitem__ if moved else partial(images.index_select, 0)
    for batch in batches(len(labels), hyper.batch_size, steps, seed):
        rows = batch.to(labels.device)
        alone = len(batch) == 1 and len(model.vector) > len(model.parameters)
        if alone:  # one image has no batch statistics, so the running ones stand in
            model.module.eval()
        model.gradient.zero_()
        algorithm.loss(local, normalise(take(rows)), labels[rows]).backward()
        algorithm.before_step(local)
        if hyper.clip_norm is not None:
            model.gradient.mul_(torch.clamp(hyper.clip_norm / (model.gradient.norm() + 1e-6), max=1.0))
        optimizer.step()
        local.steps += 1
        algorithm.after_step(local)
        samples += len(batch)
        if alone:
            model.module.train()
    return samples


class Augmented:
    """Images that are moved by up to an eighth of their size and mirrored at random, anew each time they are asked for.

    Beyond its border an image goes on reflected, as in NIID-Bench's training on CIFAR-10.
    """

    def __init__(self, images: Tensor, seed: int) -> None:
        _, self.height, self.width, _ = images.shape
        self.most = min(self.height, self.width) // 8
        down, across = (
            torch.arange(-self.most, size + self.most).abs().sub(size - 1).abs().neg().add(size - 1)
            for size in (self.height, self.width)
        )
        self.padded = images.cpu()[:, down][:, :, across].numpy()
        self.device, self.chance = images.device, torch.Generator().manual_seed(seed)

    def __getitem__(self, rows: Tensor) -> Tensor:
        """Return images (B, H, W, 3) of these rows (B,)."""
        moves = torch.randint(0, 2 * self.most + 1, (2, len(rows)), generator=self.chance).tolist()
        mirrored = torch.randint(0, 2, (len(rows),), generator=self.chance).tolist()
        drawn = np.empty((len(rows), self.height, self.width, 3), np.uint8)
        for place, row, top, left, mirror in zip(drawn, rows.tolist(), *moves, mirrored, strict=True):
            cut = self.padded[row, top : top + self.height, left : left + self.width]
            place[:] = cut[:, ::-1] if mirror else cut
        return torch.from_numpy(drawn).to(self.device)


@torch.inference_mode()
def test(model: FlatModel, images: Tensor, labels: Tensor, normalise: Normalise, classes: int) -> tuple[Tensor, float]:
    """Return how many images (n, H, W, 3) of each class are recognised, (classes,), and the sum of cross-entropies."""
    model.module.eval()
    right, loss = torch.zeros(classes, dtype=torch.int64, device=labels.device), 0.0
    for start in range(0, len(labels), _TEST_BATCH):
        part = slice(start, start + _TEST_BATCH)
        logits, known = model.module(normalise(images[part])), labels[part]
        right += torch.bincount(known[logits.argmax(1) == known], minlength=classes)
        loss += float(F.cross_entropy(logits, known, reduction="sum"))
    return right.cpu(), loss
