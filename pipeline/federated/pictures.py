"""A client's images as its training asks for them, a batch at a time."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Part = tuple[Tensor, NDArray[np.int64]]
"""A source's images (N, H, W, 3), and the rows of them that the client holds."""


class ClientPictures:
    """The images that one client holds of several sources, one source after the other.

    Sources are in the memory of the training device, or mapped from disk; then only what a batch needs is read. Nothing
    is copied in advance: that is no faster (``benchmarks/reading.py``).
    """

    def __init__(self, parts: Sequence[Part], device: str) -> None:
        self._device = device
        self._parts = [(source, torch.from_numpy(rows)) for source, rows in parts if len(rows)]
        self._length = sum(len(rows) for _, rows in self._parts)

    def __len__(self) -> int:
        return self._length

    def take(self, rows: Tensor) -> Tensor:
        """Return the images (B, H, W, 3) of these rows (B,), which are on the CPU, on the training device."""
        if len(self._parts) == 1:
            source, held = self._parts[0]
            return source.index_select(0, held[rows].to(source.device)).to(self._device)
        first = self._parts[0][0]
        taken = first.new_empty((len(rows), *first.shape[1:]))
        start = 0
        for source, held in self._parts:
            # Which rows are of this source is found out on the CPU, or a GPU would have to wait for the answer.
            places = ((rows >= start) & (rows < start + len(held))).nonzero()[:, 0]
            chosen = held[rows[places] - start].to(source.device)
            taken.index_copy_(0, places.to(source.device), source.index_select(0, chosen))
            start += len(held)
        return taken.to(self._device)
