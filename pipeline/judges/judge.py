"""What every judge is: it says how likely an image shows each class."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from pipeline.data.arrays import Stored

Images = NDArray[np.uint8]
BATCH = 64
"""Images that a judge sees at once. The shape never changes, since other shapes may be summed in another order."""


@dataclass(frozen=True)
class Training:
    """The real images that a judge learns from."""

    images: Stored
    rows: NDArray[np.int64]
    """(N,) which of them."""

    @property
    def digest(self) -> str:
        """Identifies the images and their labels by content, without reading them."""
        return hashlib.sha256(self.images.content.encode() + self.rows.tobytes()).hexdigest()


class Judge(Protocol):
    """A classifier of images with the project's classes; it is loaded, or trained, when it is first asked."""

    @property
    def name(self) -> str:
        """``trained``, or the path or id of the model."""
        ...

    @property
    def digest(self) -> str:
        """Decides every answer: weights, preparation of images, class mapping, versions of the code."""
        ...

    def probabilities(self, images: Images) -> NDArray[np.float32]:
        """Return the probability of each class, (N, classes), for images (N, H, W, 3).

        An image's row does not depend on the other images or on its place among them.
        """
        ...


def in_batches(images: Images, size: int = BATCH) -> Iterator[tuple[Images, int]]:
    """Yield images in batches of exactly ``size``, with how many of each count: the last one is filled with black."""
    for start in range(0, len(images), size):
        part = images[start : start + size]
        if len(part) == size:
            yield part, size
        else:
            filled = np.zeros((size, *images.shape[1:]), np.uint8)
            filled[: len(part)] = part
            yield filled, len(part)
