"""The work that every simulator does, and how it is reported; ``benchmarks/federated.py`` writes the folder it reads.

Initial weights, the clients of each round and the order of their batches are given, so that all simulators compute the
same up to rounding. Images are normalised once and stay in memory; convolutions run in channels-last layout.
"""

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from pipeline.federated.models import make

BATCH, RATE, MOMENTUM = 32, 0.01, 0.9
TEST_BATCH = 100  # fits the cache: a fifth to two fifths faster than 500
Pair = tuple[Tensor, Tensor]


class Batches:
    """One client's batches (B, 3, H, W) and (B,) in one round: each pass has its own order, batches cross from one to
    the next, and no part-batch is lost.
    """

    def __init__(self, images: Tensor, labels: Tensor, passes: int, seed: int) -> None:
        self.images, self.labels, self.passes = images, labels, passes
        self.generator = torch.Generator().manual_seed(seed)

    def __iter__(self) -> Iterator[Pair]:
        orders = [torch.randperm(len(self.labels), generator=self.generator) for _ in range(self.passes)]
        for rows in torch.cat(orders).split(BATCH):
            yield self.images[rows].permute(0, 3, 1, 2), self.labels[rows]


class SimpleCNN(nn.Module):
    """The ``simple-cnn`` of NIID-Bench as its users write it; this project's own computes the same faster."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 6, 5), nn.Conv2d(6, 16, 5)
        self.fc1, self.fc2, self.fc3 = nn.Linear(400, 120), nn.Linear(120, 84), nn.Linear(84, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits (N, 10) of pictures (N, 3, 32, 32)."""
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2).flatten(1)
        logits: Tensor = self.fc3(F.relu(self.fc2(F.relu(self.fc1(x)))))
        return logits


@dataclass
class Work:
    """What a program is told on its command line, and the files."""

    folder: str
    model: str
    epochs: int
    rounds: int
    warm: int
    """Rounds that are not timed."""
    threads: int
    result: str
    stamps: list[float] = field(default_factory=list)
    accuracies: list[float] = field(default_factory=list)

    @classmethod
    def asked(cls) -> "Work":
        parser = argparse.ArgumentParser()
        parser.add_argument("folder")
        parser.add_argument("model")
        for name in ("epochs", "rounds", "warm", "threads"):
            parser.add_argument(name, type=int)
        parser.add_argument("result")
        return cls(**vars(parser.parse_args()))

    def __post_init__(self) -> None:
        torch.set_num_threads(self.threads)
        with np.load(Path(self.folder) / "work.npz") as files:
            sizes = files["sizes"]
            mean, std = files["mean"].astype(np.float32), files["std"].astype(np.float32)
            self.images, self.test_images = (
                torch.from_numpy((files[name].astype(np.float32) - mean) / std) for name in ("images", "test_images")
            )
            self.labels, self.test_labels = (torch.from_numpy(files[name]) for name in ("labels", "test_labels"))
        with np.load(Path(self.folder) / "rounds.npz") as files:
            self.chosen: NDArray[np.int64] = files["chosen"][: self.rounds]
            """(rounds, clients a round), ascending in each round."""
            self.seeds: NDArray[np.int64] = files["seeds"][: self.rounds]
            """Of the order of their batches, in the same shape."""
        self.test_images = self.test_images.permute(0, 3, 1, 2)
        self.sizes: list[int] = sizes.tolist()
        ends = np.cumsum(sizes).tolist()
        self.parts = [slice(end - size, end) for size, end in zip(self.sizes, ends, strict=True)]

    def network(self) -> nn.Module:
        """Return the model with its initial weights."""
        network = SimpleCNN() if self.model == "simple-cnn" else make(self.model, "group", 10, 32)
        network.load_state_dict(torch.load(Path(self.folder) / f"{self.model}.pt"))
        return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]

    def batches(self, client: int, seed: int) -> Batches:
        part = self.parts[client]
        return Batches(self.images[part], self.labels[part], self.epochs, seed)

    def train(self, network: nn.Module, batches: Batches) -> None:
        """Train with a fresh momentum."""
        optimizer = torch.optim.SGD(network.parameters(), lr=RATE, momentum=MOMENTUM, fused=True)
        for images, labels in batches:
            optimizer.zero_grad()
            F.cross_entropy(network(images), labels).backward()
            optimizer.step()

    @torch.inference_mode()
    def right(self, network: nn.Module) -> int:
        """Return how many test images are recognised."""
        pairs = zip(self.test_images.split(TEST_BATCH), self.test_labels.split(TEST_BATCH), strict=True)
        return sum(int((network(images).argmax(1) == labels).sum()) for images, labels in pairs)

    def round_done(self, accuracy: float) -> None:
        self.stamps.append(time.perf_counter())
        self.accuracies.append(accuracy)

    def report(self, network: nn.Module) -> None:
        """Write what was measured, and beside it the last weights."""
        seconds = (self.stamps[-1] - self.stamps[self.warm - 1]) / (len(self.stamps) - self.warm)
        found = {"seconds": seconds, "accuracies": self.accuracies}
        np.save(Path(self.result).with_suffix(".npy"), read(network).numpy())
        Path(self.result).write_text(json.dumps(found))


@torch.no_grad()
def read(network: nn.Module) -> Tensor:
    """Return all weights as one vector."""
    return torch.cat([weights.reshape(-1) for weights in network.parameters()])


@torch.no_grad()
def write(network: nn.Module, vector: Tensor) -> None:
    start = 0
    for weights in network.parameters():
        weights.copy_(vector[start : start + weights.numel()].view(weights.shape))
        start += weights.numel()
