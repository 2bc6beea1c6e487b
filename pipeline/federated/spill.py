"""Clients' vectors that would fill the memory, in unnamed files that the operating system pages in and out."""

import mmap
import os
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from pipeline.errors import ArtifactError
from pipeline.federated.algorithm import State, Update, Vector
from pipeline.federated.simulation import Result, Run

_IN_MEMORY = 256 << 20  # bytes of updates up to which all stay in memory
_FILE = 64 << 20


class Spill:
    """Writes the updates of several runs to files in ``folder`` if they are too large for the memory.

    A file is freed when no vector in it is used any more. ``run`` stands for ``runs`` runs of as many clients.
    """

    def __init__(self, run: Run, runs: int, folder: Path, in_memory: int = _IN_MEMORY) -> None:
        everyone = len(run.clients)
        self._held = runs * min(run.clients_per_round or everyone, everyone), runs * everyone
        self._folder, self._in_memory = folder, in_memory
        self._file, self._end = np.empty(0, np.uint8), 0

    def keep(self, result: Result) -> Result:
        """Return the result, with its vectors in a file if the vectors that are held together exceed the memory.

        What clients send is held for one round, what they keep for the whole run. Raise ArtifactError if the disk is
        full.
        """
        if not isinstance(result, Update):
            return result
        of_round, of_run = self._held
        if of_round * _bytes(result.up) + of_run * _bytes(result.client_state) <= self._in_memory:
            return result
        return replace(result, up=self._put(result.up), client_state=self._put(result.client_state))

    def _put(self, state: State) -> State:
        return {name: self._written(vector) for name, vector in state.items()}

    def _written(self, vector: Vector) -> Vector:
        if self._end + vector.nbytes > len(self._file):
            self._file, self._end = _mapped(self._folder, max(_FILE, vector.nbytes)), 0
        place: Vector = self._file[self._end : self._end + vector.nbytes].view(np.float32)
        place[:] = vector
        self._end += vector.nbytes
        return place


def _bytes(state: State) -> int:
    return sum(vector.nbytes for vector in state.values())


def _mapped(folder: Path, size: int) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            os.posix_fallocate(file.fileno(), 0, size)  # without it a full disk would end the process by a signal
            return np.frombuffer(mmap.mmap(file.fileno(), size), np.uint8)
    except OSError as error:
        fix = "free some space, or set GEN_FEDSD_CACHE to a larger disk"
        raise ArtifactError(f"no space for what clients send ({error.strerror})", folder, fix) from None
