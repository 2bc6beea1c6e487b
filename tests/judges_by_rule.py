"""A judge that needs no model: a rule on the pixels alone, so that every answer can be derived by hand."""

import hashlib
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass
class ByHash:
    """Draws one of the classes from the digest of an image's pixels, and is this sure of it."""

    classes: int
    name: str = "by hash"
    digest: str = "0123"
    sure: float = 0.8
    seen: list[int] = field(default_factory=list)
    """How many images each call had."""

    def probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        self.seen.append(len(images))
        rows = np.full((len(images), self.classes), (1 - self.sure) / (self.classes - 1), np.float32)
        for row, image in zip(rows, images, strict=True):
            row[self.label(image)] = self.sure
        return rows

    def label(self, image: NDArray[np.uint8]) -> int:
        return int.from_bytes(hashlib.sha256(image.tobytes()).digest()[:4], "big") % self.classes
