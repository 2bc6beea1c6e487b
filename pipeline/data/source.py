"""What every reader of real images gives: rows with a picture file or pixels, and columns beside them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.data.columns import Column


@dataclass(frozen=True)
class Skipped:
    """A file of a data set that is not read."""

    path: str
    """Below the data set's folder."""
    why: str


class Source(Protocol):
    """One split as it is stored; nothing is decoded, and pictures are read when they are asked for."""

    @property
    def columns(self) -> Mapping[str, Column]: ...

    @property
    def skipped(self) -> Sequence[Skipped]: ...

    @property
    def remarks(self) -> Sequence[str]:
        """What a user should know of how the split was read."""

    def __len__(self) -> int: ...

    def content(self, column: str, row: int) -> bytes | NDArray[np.uint8]:
        """Return the picture file, or the pixels, of one row; raise DataError if there is none."""

    def values(self, column: str) -> pa.ChunkedArray:
        """Return a whole column that is not the pictures'."""

    def name(self, row: int) -> str:
        """Return how a user finds a row: the name of its file, or of the table and the row in it."""

    def digests(self, column: str) -> list[str]:
        """Return what identifies the rows and their pictures, in order."""
