"""Engines: who renders the batches. Inline in this process, or one worker process per device."""

import contextlib
import multiprocessing
import select
import signal
import traceback
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from types import TracebackType
from typing import Any, NamedTuple, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import GenerationError, PipelineError
from pipeline.generation.pictures import Picture, finish
from pipeline.generation.recipe import ImageSpec
from pipeline.generation.source import Source

Batch = list[ImageSpec]
_AHEAD = 2  # batches that a worker has at a time, so that it never waits for the next one
_DEATHS = 2  # a batch in whose hands this many workers died is not tried again


class Rendered(NamedTuple):
    """A batch, its pictures in order (None: unusable, draw again), and the worker that drew them."""

    batch: Batch
    pictures: Iterable[Picture | None]
    """May be encoded only as they are read, so that another thread can do it while the next batch is drawn."""
    worker: str


class Engine(Protocol):
    """Renders batches, in any order; a context manager that holds the loaded models."""

    def render(self, batches: Iterable[Batch]) -> Iterator[Rendered]:
        """Yield every batch with its pictures, as they finish; take a batch only when there is room for it."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None: ...


def make(source: Source, devices: list[str]) -> Engine:
    """Return the engine for these devices: one renders inline, several in a process each."""
    return Inline(source, devices[0]) if len(devices) == 1 else Processes(source, devices)


class Inline:
    """Renders in this process: for one device, for tests and for debuggers."""

    def __init__(self, source: Source, device: str) -> None:
        from pipeline.generation.diffusion import Model

        self._model, self._device = Model(source, device), device

    def render(self, batches: Iterable[Batch]) -> Iterator[Rendered]:
        recipe = self._model.recipe
        for batch in batches:
            drawn = self._model.draw(batch)
            yield Rendered(batch, (finish(levels, recipe) for levels in drawn), self._device)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        pass


@dataclass
class _Worker:
    name: str
    process: BaseProcess
    asked: Any
    """How often it asked for a batch, in memory that it shares."""
    answered: int = 0
    tasks: deque[tuple[Batch, int]] = field(default_factory=deque)
    """The batches that it was sent and has not answered, oldest first, with the workers that each has killed."""


class Processes:
    """One worker process per device, fed over a pipe each, a batch ahead.

    A worker that dies costs the batch in its hands a second try on another worker. An error in a worker, unlike a
    death, ends the run at once, since another worker would meet it too.
    """

    def __init__(self, source: Source, devices: list[str]) -> None:
        # One server process imports torch and diffusers; workers are forked from it, before it uses any of them.
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["pipeline.generation.diffusion"])
        self._workers: dict[Connection, _Worker] = {}
        for number, device in enumerate(devices):
            name = device if devices.count(device) == 1 else f"{device} #{number}"
            ours, theirs = context.Pipe()
            asked = context.Value("q", 0, lock=False)
            arguments = (theirs, source, device, asked)
            process = context.Process(target=_work, args=arguments, name=f"render {name}", daemon=True)
            process.start()
            theirs.close()
            self._workers[ours] = _Worker(name, process, asked)

    def render(self, batches: Iterable[Batch]) -> Iterator[Rendered]:
        waiting, source = deque[tuple[Batch, int]](), iter(batches)

        def feed() -> None:
            """Bring every worker to one batch, then every one to two, and so on, so that the last ones spread."""
            for depth in range(1, _AHEAD + 1):
                for pipe, worker in self._workers.items():
                    if len(worker.tasks) < depth:
                        task = waiting.popleft() if waiting else next(((batch, 0) for batch in source), None)
                        if task is None:
                            return
                        worker.tasks.append(task)
                        _send(pipe, task[0])

        feed()
        while busy := [pipe for pipe, worker in self._workers.items() if worker.tasks]:
            for pipe in wait(busy):
                assert isinstance(pipe, Connection)
                worker = self._workers[pipe]
                pictures = _receive(pipe)
                if pictures is None:
                    waiting.extend(self._bury(pipe))
                    feed()
                else:
                    batch, _ = worker.tasks.popleft()
                    worker.answered += 1
                    feed()
                    yield Rendered(batch, pictures, worker.name)

    def _bury(self, pipe: Connection) -> list[tuple[Batch, int]]:
        """Forget a dead worker and return its batches; raise GenerationError if none can take them over."""
        worker = self._workers.pop(pipe)
        worker.process.join()
        # It draws in order. The batch that it asked for last is the one that it died with, unless none was left to get;
        # an older one may be unanswered yet, since encoding takes its time.
        others = list(worker.tasks)
        batch, deaths = others.pop(min(max(worker.asked.value - worker.answered, 1), len(others)) - 1)
        if deaths + 1 >= _DEATHS or not self._workers:
            what = f"{worker.process.name} died (exit code {worker.process.exitcode}); {deaths + 1} deaths on one batch"
            where = f"the batch that begins with {batch[0].prompt!r}, seed {batch[0].seed}"
            fix = "if memory ran out, lower generate.batch_size (part of the recipe) or use fewer workers; run again"
            raise GenerationError(what, where, fix)
        return [(batch, deaths + 1), *others]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for pipe in self._workers:
            pipe.close()  # a worker leaves when its pipe is closed, after the batch in hand
        for worker in self._workers.values():
            worker.process.join()
        self._workers.clear()


def _send(pipe: Connection, message: object) -> None:
    with contextlib.suppress(OSError):  # the other side is gone; reading from it will tell
        pipe.send(message)


def _receive(pipe: Connection) -> list[Picture | None] | None:
    """Return a worker's pictures, or None if it died; raise the error that it met."""
    try:
        answer = pipe.recv()
    except (EOFError, OSError):
        return None
    if isinstance(answer, BaseException):
        raise answer
    pictures: list[Picture | None] = answer
    return pictures


def _work(pipe: Connection, source: Source, device: str, asked: Any) -> None:
    """A worker's life: load the model, answer batches until the pipe closes, encoding one while drawing the next."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the coordinating process's to handle

    def answer(drawn: NDArray[np.uint8]) -> None:
        try:
            _send(pipe, [finish(levels, source.recipe) for levels in drawn])
        except Exception:
            _send(pipe, RuntimeError(f"in the worker on {device}:\n{traceback.format_exc()}"))

    try:
        from pipeline.generation.diffusion import Model

        model = Model(source, device)
        with ThreadPoolExecutor(1) as encoder:
            last = None
            closed = select.poll()
            closed.register(pipe, 0)  # hang-ups are told of unasked
            while True:
                asked.value += 1
                batch = pipe.recv()
                if closed.poll(0):  # nobody waits for the batches that are still in the pipe
                    return
                drawn = model.draw(batch)
                if last is not None:
                    last.result()
                last = encoder.submit(answer, drawn)
    except (EOFError, ConnectionResetError):
        return
    except PipelineError as error:
        _send(pipe, error)
    except Exception:
        _send(pipe, RuntimeError(f"in the worker on {device}:\n{traceback.format_exc()}"))
