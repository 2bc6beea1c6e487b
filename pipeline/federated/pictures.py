"""A client's images as its training asks for them, a batch at a time."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_GATHERED = 64 << 20
"""Bytes up to which a client's images are copied side by side once a round; larger ones are read by the batch."""

Part = tuple[Tensor, NDArray[np.int64]]
"""A source's images (N, H, W, 3), and the rows of them that the client holds."""


class ClientPictures:
    """The images that one client holds of several sources, one source after the other.

    Sources are in the memory of the training device, or mapped from disk; then only what a batch needs is read.
    """

    def __init__(self, parts: Sequence[Part], device: str, gathered: int = _GATHERED) -> None:
        self._device = device
        self._parts = [_view(source, rows) for source, rows in parts if len(rows)]
        self._length = sum(len(rows) for _, rows in parts)
        size = sum(len(rows) * source[:1].nbytes for source, rows in parts)
        whole = len(self._parts) == 1 and self._parts[0][1] is None
        if self._parts and not whole and size <= gathered:
            self._parts = [(torch.cat([_select(source, rows) for source, rows in self._parts]), None)]

    def __len__(self) -> int:
        return self._length

    def take(self, rows: Tensor) -> Tensor:
        """Return the images (B, H, W, 3) of these rows (B,) on the training device."""
        rows = rows.to(self._parts[0][0].device)
        if len(self._parts) == 1:
            source, held = self._parts[0]
            return source.index_select(0, rows if held is None else held[rows]).to(self._device)
        taken = self._parts[0][0].new_empty((len(rows), *self._parts[0][0].shape[1:]))
        start = 0
        for source, held in self._parts:
            length = len(source) if held is None else len(held)
            here = ((rows >= start) & (rows < start + length)).nonzero()[:, 0]
            inside = rows[here] - start
            taken[here] = source.index_select(0, inside if held is None else held[inside])
            start += length
        return taken.to(self._device)


def _view(source: Tensor, rows: NDArray[np.int64]) -> tuple[Tensor, Tensor | None]:
    """Return a stretch of the source where the rows are one, else the source and its rows."""
    if len(rows) == rows[-1] - rows[0] + 1 and (np.diff(rows) == 1).all():
        return source[int(rows[0]) : int(rows[-1]) + 1], None
    return source, torch.from_numpy(rows).to(source.device)


def _select(source: Tensor, rows: Tensor | None) -> Tensor:
    return source if rows is None else source.index_select(0, rows)
