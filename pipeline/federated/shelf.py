"""Where clients' vectors wait that together would fill the memory: files without names, which the system pages out."""

import mmap
import os
import tempfile
from dataclasses import replace

import numpy as np

from pipeline import paths
from pipeline.errors import ArtifactError
from pipeline.federated.algorithms.fedavg import State, Update, Vector
from pipeline.federated.simulation import Result, Run

_IN_MEMORY = 256 << 20  # bytes of updates up to which all stay in memory
_FILE = 64 << 20


class Shelf:
    """Keeps the updates of several runs; a file goes when nobody holds a vector in it any more."""

    def __init__(self, run: Run, runs: int, in_memory: int = _IN_MEMORY) -> None:
        everyone = len(run.clients)
        self._crowd = runs * min(run.clients_per_round or everyone, everyone), runs * everyone
        self._in_memory, self._file, self._end = in_memory, np.empty(0, np.uint8), 0

    def keep(self, result: Result) -> Result:
        """Return the result, its vectors on file if those of all clients that are held at a time are too many.

        What clients send is held for one round, what they keep for all.
        """
        if not isinstance(result, Update):
            return result
        of_round, of_run = self._crowd
        own = sum(vector.nbytes for vector in result.own.values())
        if of_round * sum(vector.nbytes for vector in result.up.values()) + of_run * own <= self._in_memory:
            return result
        return replace(result, up=self._put(result.up), own=self._put(result.own))

    def _put(self, state: State) -> State:
        return {name: self._written(vector) for name, vector in state.items()}

    def _written(self, vector: Vector) -> Vector:
        if self._end + vector.nbytes > len(self._file):
            self._file, self._end = _mapped(max(_FILE, vector.nbytes)), 0
        place: Vector = self._file[self._end : self._end + vector.nbytes].view(np.float32)
        place[:] = vector
        self._end += vector.nbytes
        return place


def _mapped(size: int) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    folder = paths.cache()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            os.posix_fallocate(file.fileno(), 0, size)  # else a full disk would end the process by a signal
            return np.frombuffer(mmap.mmap(file.fileno(), size), np.uint8)
    except OSError as error:
        fix = "make room, or set GEN_FEDSD_CACHE to a larger disk"
        raise ArtifactError(f"no room for what clients send ({error.strerror})", folder, fix) from None
