"""What the extractors share: images as one network wants them, in batches of one size, so that no row sees another."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from pipeline.evaluation.extractors import Features, Pixels
from pipeline.judges.judge import in_batches

VERSION = 2
"""Raise it when a change of code changes features: then every image is embedded again."""
BATCH = 32
"""Images in one call of the network: always so many, since the size of a batch can change the last bits of a row."""


@dataclass(frozen=True)
class Preprocessing:
    """How pixels become the input of a network."""

    sides: tuple[tuple[int, int], ...]
    """Pairs (largest shorter side that is stored, pixels a side of the input), ascending; the last one holds beyond."""
    mean: tuple[float, ...]
    """Of each colour, in pixel values from 0 to 255."""
    std: tuple[float, ...]

    def side(self, stored: int) -> int:
        """Return the pixels a side at which the network sees images that are stored with so many."""
        return next((side for most, side in self.sides if stored <= most), self.sides[-1][1])

    def __call__(self, images: Tensor) -> Tensor:
        """Return the input (N, 3, side, side), float32, for images (N, H, W, 3) of bytes.

        The whole image is seen, nothing is cropped. The filter is bicubic, wide enough to keep small images free of
        aliasing, and the result is cut to the range of pixels.
        """
        side = self.side(min(images.shape[1:3]))
        pixels = images.permute(0, 3, 1, 2).float()
        if pixels.shape[2:] != (side, side):
            # As float: rounded pixels would add noise that larger images have less of.
            pixels = F.interpolate(pixels, (side, side), mode="bicubic", antialias=True, align_corners=False)
            pixels = pixels.clamp(0, 255)
        shape = (1, 3, 1, 1)
        return (pixels - pixels.new_tensor(self.mean).view(shape)) / pixels.new_tensor(self.std).view(shape)


@dataclass(frozen=True)
class Network:
    """A network on a device, with what it does to pixels first; an ``Extractor``."""

    name: str
    digest: str
    dimension: int
    forward: Callable[[Tensor], Tensor]
    """From images (BATCH, H, W, 3), bytes on the device, to features (BATCH, dimension)."""
    device: str

    def features(self, images: Pixels) -> Features:
        """Return the features (N, dimension) of images (N, H, W, 3)."""
        found = np.empty((len(images), self.dimension), np.float32)
        # TensorFloat-32 would round features as coarsely as float16.
        exact = torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)
        with torch.inference_mode(), exact:
            start = 0
            for batch, count in in_batches(images, BATCH):
                rows = self.forward(torch.from_numpy(batch).to(self.device))[:count]
                found[start : start + count] = rows.float().cpu().numpy()
                start += count
        return found


def scaled(features: Tensor) -> Tensor:
    """Return features (N, D) with the length D^(1/2) each, so that KID's x y / D is the cosine."""
    result: Tensor = F.normalize(features, dim=1) * features.shape[1] ** 0.5
    return result


def digest(name: str, files: Sequence[str], preprocessing: object) -> str:
    """Return the identity of an extractor: its kind, the SHA-256 of its files, and what it does to pixels first."""
    decisive = [VERSION, name, *files, repr(preprocessing)]
    return hashlib.sha256(json.dumps(decisive).encode()).hexdigest()
