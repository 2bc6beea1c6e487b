"""Delete of a finished cell what is large and can be made again: shards, weights, and arrays that no other cell needs.

Images are in the pool and runs in their store, so nothing is paid for twice.
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.artifacts import holdings, partition
from pipeline.data import arrays
from pipeline.errors import ArtifactError
from pipeline.workspace import Workspace


@dataclass(frozen=True)
class Deleted:
    """What was deleted of a cell."""

    shards: int
    weights: int
    arrays: int
    disk_bytes: int

    @property
    def text(self) -> str:
        parts = [f"{count} {name}" for name, count in self._counts if count]
        return f"{', '.join(parts) or 'nothing'} ({self.disk_bytes / 1e6:.1f} MB) deleted"

    @property
    def _counts(self) -> tuple[tuple[str, int], ...]:
        return ("files of shards", self.shards), ("files of weights", self.weights), ("decoded arrays", self.arrays)


def clean(workspace: Workspace, with_arrays: bool) -> Deleted:
    """Delete what a cell leaves beside its results; ``with_arrays`` if no cell is to come that has the same images.

    Arrays that a process uses stay. Raises ArtifactError if a file cannot be deleted.
    """
    shards = [path for path in workspace.shards.rglob("*") if path.is_file()]
    weights = [path for path in (workspace.data / "train").glob("*/weights/*") if path.is_file()]
    size = sum(path.stat().st_size for path in (*shards, *weights))
    count = 0
    try:
        for place in _own_arrays(workspace) if with_arrays else ():
            taken = sum(path.stat().st_size for path in arrays.files(place))
            if arrays.delete(place):
                count, size = count + 1, size + taken
        shutil.rmtree(workspace.shards, ignore_errors=not workspace.shards.exists())
        for path in weights:
            path.unlink()
    except OSError as error:
        where = error.filename or workspace.root
        raise ArtifactError(f"cannot delete ({error.strerror})", where, "check the rights") from None
    return Deleted(len(shards), len(weights), count, size)


def _own_arrays(workspace: Workspace) -> Iterator[Path]:
    """Yield the arrays of a cell's holdings but that of the real images, which all cells share."""
    shared = partition.load(workspace.partition).source.array
    names = {
        source.array
        for path in workspace.fill("x").parent.glob("*.parquet")
        for source in holdings.load(path).sources.values()
    }
    for name in sorted(names - {shared}):
        yield workspace.arrays / f"{name}.npy"
