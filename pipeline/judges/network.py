"""The small network of the judge that is trained here: two convolutions and two linear layers, seconds on one core."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

FEATURES = 96
_SMALLEST, _LARGEST = 8, 64
"""Pixels a side that the network sees: other images are scaled for it."""
_EPOCHS, _BATCH, _RATE, _DECAY = 10, 64, 0.004, 0.05
_SHIFT = 16
"""Images are shifted by up to one part in so many of their side."""


class Network(nn.Module):
    """Two stages of convolution, batch normalisation and halving, and two linear layers."""

    mean: Tensor
    std: Tensor

    def __init__(self, classes: int, image_size: int) -> None:
        super().__init__()
        self.side = min(max(image_size, _SMALLEST), _LARGEST)
        self.register_buffer("mean", torch.zeros(1, 3, 1, 1))
        self.register_buffer("std", torch.ones(1, 3, 1, 1))
        # The first stage halves the picture, the second one its half, rounded up and down.
        inner = (self.side + 1) // 2 // 2
        self.body = nn.Sequential(
            nn.Conv2d(3, 16, 5, stride=2, padding=2, bias=False), nn.BatchNorm2d(16), nn.ReLU(),
            nn.Conv2d(16, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(32 * inner * inner, FEATURES), nn.ReLU(),
        )  # fmt: skip
        self.head = nn.Linear(FEATURES, classes)
        self.to(memory_format=torch.channels_last)

    def features(self, images: Tensor) -> Tensor:
        """Return the features (N, 96) of images (N, H, W, 3) as bytes."""
        x = images.permute(0, 3, 1, 2).float()
        if x.shape[2] != self.side:
            x = F.interpolate(x, (self.side, self.side), mode="bilinear", antialias=True)
        found: Tensor = self.body((x - self.mean) / self.std)
        return found

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits (N, classes) of images (N, H, W, 3) as bytes."""
        logits: Tensor = self.head(self.features(images))
        return logits


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one thread, so that sums have one order on every number of cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def train(images: Tensor, labels: Tensor, classes: int, seed: int) -> Network:
    """Train on images (N, H, W, 3) as bytes and labels (N,), on one thread of the CPU; equal inputs, equal weights.

    AdamW, a learning rate that rises and falls once, small shifts, no mirroring: mirrored digits and letters are
    others. Classes count equally, however many images each has.
    """
    with one_thread(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Network(classes, images.shape[1])
        _normalise(network, images)
        counts = torch.bincount(labels, minlength=classes).float()
        weights = torch.where(counts > 0, len(labels) / counts.clamp_min(1), 0.0)
        optimizer = torch.optim.AdamW(network.parameters(), lr=_RATE, weight_decay=_DECAY, fused=True)
        steps = _EPOCHS * -(-len(labels) // _BATCH)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _RATE, total_steps=steps)
        network.train()
        for _ in range(_EPOCHS):
            for batch in torch.randperm(len(labels)).split(_BATCH):
                # One image has no variance to normalise by, so it is taken twice.
                chosen = batch.repeat(2) if len(batch) == 1 else batch
                optimizer.zero_grad()
                F.cross_entropy(network(_shifted(images[chosen])), labels[chosen], weights).backward()
                optimizer.step()
                schedule.step()
        return network.eval()


def _normalise(network: Network, images: Tensor) -> None:
    """Set mean and standard deviation of the network's inputs, by channel; no more than 2,000 images are measured."""
    part = images[:: max(1, len(images) // 2_000)].flatten(0, 2).float()
    network.mean.copy_(part.mean(0).view(1, 3, 1, 1))
    network.std.copy_(part.std(0).clamp_min(1.0).view(1, 3, 1, 1))


def _shifted(images: Tensor) -> Tensor:
    """Return images (N, H, W, 3) moved together by a random shift; what comes in repeats the border."""
    side = images.shape[1]
    most = side // _SHIFT
    down, right = torch.randint(-most, most + 1, (2,)).tolist()
    rows = (torch.arange(side) + down).clamp(0, side - 1)
    columns = (torch.arange(side) + right).clamp(0, side - 1)
    return images[:, rows][:, :, columns]
