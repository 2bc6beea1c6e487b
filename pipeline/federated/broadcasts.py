"""What servers send to clients, in shared memory: written once a round, not once for each client."""

import os
from collections.abc import Sequence
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path

import numpy as np

from pipeline.errors import ParameterError
from pipeline.federated.algorithm import State

Notice = tuple[str, tuple[tuple[str, int, int], ...]]
"""The name of a block of shared memory, and the vectors in it: their names, places in bytes, and lengths."""


class Broadcasts:
    """A block of shared memory for each run; a context manager that gives them back."""

    def __init__(self) -> None:
        self._blocks: dict[str, SharedMemory] = {}

    def __enter__(self) -> "Broadcasts":
        return self

    def __exit__(self, *_: object) -> None:
        for block in self._blocks.values():
            block.close()
            block.unlink()

    def post(self, run: str, states: Sequence[State]) -> list[Notice]:
        """Write each distinct state of a run's next tasks over those of its last ones, which are all done."""
        distinct = {id(vector): vector for state in states for vector in state.values()}
        size = sum(vector.nbytes for vector in distinct.values())
        if run not in self._blocks or self._blocks[run].size < size:
            if run in self._blocks:
                self._blocks[run].close()
                self._blocks[run].unlink()
            self._blocks[run] = _reserved(max(size, 1))
        block, starts, start = self._blocks[run], dict[int, int](), 0
        for key, vector in distinct.items():
            np.ndarray(vector.shape, np.float32, block.buf, start)[:] = vector
            starts[key] = start
            start += vector.nbytes
        return [(block.name, tuple((name, starts[id(v)], len(v)) for name, v in state.items())) for state in states]


class Reader:
    """Reads them in a worker, which keeps the blocks that it has opened."""

    def __init__(self) -> None:
        self._attached: dict[str, SharedMemory] = {}

    def state(self, notice: Notice) -> State:
        """Return the state that a notice names; its vectors are views of the shared memory."""
        name, vectors = notice
        if name not in self._attached:
            self._attached[name] = SharedMemory(name)
        buffer = self._attached[name].buf
        return {key: np.ndarray((length,), np.float32, buffer, at) for key, at, length in vectors}


def _reserved(size: int) -> SharedMemory:
    """Return a new block whose memory exists; writing to one that is only promised would end the process."""
    block = SharedMemory(create=True, size=size)
    place = Path("/dev/shm", block.name)  # of Linux
    try:
        if place.exists():
            with place.open("r+b") as file:
                os.posix_fallocate(file.fileno(), 0, size)
    except OSError as error:
        block.close()
        block.unlink()
        fix = "give it more (docker run --shm-size), or use --workers 1"
        raise ParameterError(f"no shared memory for {size / 1e6:.0f} MB ({error.strerror})", "/dev/shm", fix) from None
    return block
