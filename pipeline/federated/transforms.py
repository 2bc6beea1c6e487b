"""The control fill: a client's own images, cropped, flipped and turned, at the same count for each class.

A class that the client has no image of cannot be filled this way, and that is the point of the comparison.
"""

from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torchvision.transforms import v2

from pipeline import seeds
from pipeline.federated import arrays
from pipeline.federated.arrays import Stored


def augmentation(size: int) -> v2.Transform:
    """Return random crops (an eighth of padding), mirrorings and turns by up to 10 degrees."""
    crop = v2.RandomCrop(size, padding=size // 8)
    return v2.Compose([crop, v2.RandomHorizontalFlip(), v2.RandomRotation(10)])


def sources(counts: NDArray[np.int64], missing: NDArray[np.int64], labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return, client by client and label by label, which real image each extra image is made from.

    ``counts`` and ``missing`` are (clients, classes); ``labels`` (N,) are those of the real images in order of client.
    A client's images of a label are used in turn.
    """
    starts = np.concatenate([[0], np.cumsum(counts.sum(axis=1))])
    chosen = [np.empty(0, np.int64)]
    for client, label in zip(*np.nonzero((missing > 0) & (counts > 0)), strict=True):
        own = starts[client] + np.flatnonzero(labels[starts[client] : starts[client + 1]] == label)
        chosen.append(np.resize(own, missing[client, label]))
    return np.concatenate(chosen)


def make(real: Stored, counts: NDArray[np.int64], missing: NDArray[np.int64], seed: int) -> Stored:
    """Return the extra images in order of client; equal arguments give equal bytes."""
    chosen = sources(counts, missing, real.labels)
    size = real.pixels.shape[1]

    def chunks() -> Iterable[NDArray[np.uint8]]:
        augment = augmentation(size)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seeds.derive(seed, "transforms"))
            for row in chosen:
                image = torch.from_numpy(real.pixels[row].copy()).permute(2, 0, 1)
                yield augment(image).permute(1, 2, 0).numpy()[None]

    key: list[object] = ["transforms", real.path.name, missing.tolist(), seed]
    return arrays.store(key, real.labels[chosen], size, chunks)
