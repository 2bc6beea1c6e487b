"""Tasks for the tests of worker processes; they wait for files, so that a test decides what happens when."""

import hashlib
import itertools
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from multiprocessing import forkserver
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from pipeline.processes import Answer, Done, Workers

PATIENCE = 120.0
"""Seconds after which something that should have happened is taken to hang; machines may be slow."""


def until(condition: Callable[[], object], patience: float = PATIENCE) -> None:
    """Wait until the condition holds."""
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.005)


@dataclass(frozen=True)
class Job:
    """A task: wait for a file, then answer with the double of a number, or fail."""

    number: int = 0
    waits_for: Path | None = None
    marks: Path | None = None
    """A file that is made when the task is begun."""
    payload: bytes = b""
    fails: bool = False

    def carry_out(self) -> int:
        if self.marks is not None:
            self.marks.touch()
        if self.waits_for is not None:
            until(self.waits_for.exists)
        if self.fails:
            raise ValueError("no such number")
        return 2 * self.number


def doubling(size: int, loading: Job) -> Callable[[Job], Answer]:
    """Carry out one job while loading, then answer each with its number and so many bytes."""
    loading.carry_out()

    def carry_out(job: Job) -> Answer:
        answer = job.carry_out()
        return lambda: (answer, b"x" * size)

    return carry_out


def crew(count: int, size: int = 0, cuda: bool = False, loading: Job | None = None) -> Workers[Job]:
    """Start workers, the first of which has a job to do while it loads."""
    arguments = [(str(i), (size, loading if loading and i == 0 else Job())) for i in range(count)]
    return Workers(doubling, arguments, "pipeline.errors", cuda)


def collected(workers: Workers[Any], tasks: Iterable[Any]) -> list[Done[Any]]:
    source = iter(tasks)
    return list(workers.carry_out(lambda: next(source, None)))


def reach(moment: str) -> None:
    """Say on stdout that the moment is reached; the test reads it there. In one write, since others write too."""
    os.write(1, f"{moment}\n".encode())


def stay(moment: str) -> None:
    """Reach the moment and do not leave it."""
    reach(moment)
    while True:
        time.sleep(60)


class Staying:
    """Python prints exceptions that are raised in ``__del__`` and continues."""

    def __del__(self) -> None:
        stay("finalising")


MOMENTS = ("loading", "working", "computing", "finalising", "finishing")
"""In the life of a worker."""


def staying(at: str) -> Callable[[int], Answer]:
    """Answer numbers; at one moment of a worker's life, stay there, and hold a semaphore, as libraries do."""
    lock = multiprocessing.get_context("spawn").RLock() if at in MOMENTS else None
    if at == "loading":
        stay(at)

    def carry_out(number: int) -> Answer:
        assert (lock is not None) == (at in MOMENTS)
        if at == "working":
            stay(at)
        if at == "computing":  # compiled code, which no signal handler interrupts
            reach(at)
            hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)
        if at == "finalising":
            Staying()
        return lambda: stay(at) if at == "finishing" else number

    return carry_out


def announced(before: str, function: Callable[..., None], after: str) -> Callable[..., None]:
    """Return a function that says when it is called and when it returns."""

    def call(*arguments: object) -> None:
        reach(before)
        function(*arguments)
        reach(after)

    return call


def main(at: str, preload: str, cuda: str, leave: str) -> None:
    """Use two workers until Ctrl-C, or until the file ``leave`` is there, and say how far it is.

    The first one stays at a moment. In a program of its own, the processes that help multiprocessing are its own too.
    """
    forkserver.ensure_running = announced("serving", forkserver.ensure_running, "served")
    BaseProcess.start = announced("starting", BaseProcess.start, "started")  # type: ignore[method-assign]
    source = itertools.count()
    try:
        reach("begun")
        with Workers[int](staying, [("0", (at,)), ("1", ("",))], preload, cuda == "cuda") as workers:
            reach("ready")
            for done in workers.carry_out(lambda: next(source)):
                if done.task < 2:
                    reach("answered")
                if Path(leave).exists():
                    break
            reach("ending")
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
