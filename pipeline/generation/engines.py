"""Engines: who renders the batches. Inline in this process, or one worker process per device."""

import contextlib
import multiprocessing
import signal
import traceback
from collections import deque
from collections.abc import Iterable, Iterator
from multiprocessing.connection import Connection, wait
from types import TracebackType
from typing import Protocol, Self

from pipeline.errors import GenerationError, PipelineError
from pipeline.generation.recipe import ImageSpec
from pipeline.generation.source import Source

Batch = list[ImageSpec]
Rendered = tuple[Batch, list[bytes | None]]
_DEATHS = 2  # a batch in whose hands this many workers died is not tried again


class Engine(Protocol):
    """Renders batches, in any order; a context manager that holds the loaded models."""

    def render(self, batches: Iterable[Batch]) -> Iterator[Rendered]:
        """Yield every batch with its images, as they finish; take a batch only when there is room for it."""
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

        self._model = Model(source, device)

    def render(self, batches: Iterable[Batch]) -> Iterator[Rendered]:
        for batch in batches:
            yield batch, self._model.render(batch)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        pass


class Processes:
    """One worker process per device, fed over a pipe each.

    A worker that dies costs its batch a second try on another worker. An error in a worker, unlike a death, ends the
    run at once, since another worker would meet it too.
    """

    def __init__(self, source: Source, devices: list[str]) -> None:
        context = multiprocessing.get_context("spawn")
        self._workers: dict[Connection, multiprocessing.process.BaseProcess] = {}
        for device in devices:
            ours, theirs = context.Pipe()
            process = context.Process(target=_work, args=(theirs, source, device), name=f"render {device}", daemon=True)
            process.start()
            theirs.close()
            self._workers[ours] = process

    def render(self, batches: Iterable[Batch]) -> Iterator[Rendered]:
        waiting, source = deque[tuple[Batch, int]](), iter(batches)
        busy: dict[Connection, tuple[Batch, int]] = {}

        def give(worker: Connection) -> None:
            task = waiting.popleft() if waiting else next(((batch, 0) for batch in source), None)
            if task is not None:
                busy[worker] = task
                _send(worker, task[0])

        for worker in list(self._workers):
            give(worker)
        while busy:
            for ready in wait(list(busy)):
                assert isinstance(ready, Connection)
                batch, deaths = busy.pop(ready)
                images = _receive(ready)
                if images is None:
                    self._bury(ready, batch, deaths + 1)
                    waiting.append((batch, deaths + 1))
                    for idle in [worker for worker in self._workers if worker not in busy]:
                        give(idle)
                else:
                    give(ready)
                    yield batch, images

    def _bury(self, worker: Connection, batch: Batch, deaths: int) -> None:
        """Forget a dead worker; raise GenerationError if none is left or the batch has killed two."""
        process = self._workers.pop(worker)
        process.join()
        what = f"{process.name} died (exit code {process.exitcode})"
        if deaths >= _DEATHS or not self._workers:
            first = batch[0]
            where = f"the batch that begins with {first.prompt!r}, seed {first.seed}"
            fix = "if memory ran out, lower generate.batch_size (part of the recipe) or use fewer workers; run again"
            raise GenerationError(f"{what}; {deaths} deaths on one batch", where, fix)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for worker in self._workers:
            worker.close()  # a worker leaves when its pipe is closed, after the batch in hand
        for process in self._workers.values():
            process.join()
        self._workers.clear()


def _send(worker: Connection, batch: Batch) -> None:
    with contextlib.suppress(OSError):  # it died; reading its answer will tell
        worker.send(batch)


def _receive(worker: Connection) -> list[bytes | None] | None:
    """Return a worker's images, or None if it died; raise the error that it met."""
    try:
        answer = worker.recv()
    except (EOFError, OSError):
        return None
    if isinstance(answer, BaseException):
        raise answer
    images: list[bytes | None] = answer
    return images


def _work(pipe: Connection, source: Source, device: str) -> None:
    """A worker's life: load the model, answer batches until the pipe closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the coordinating process's to handle
    try:
        from pipeline.generation.diffusion import Model

        model = Model(source, device)
        while True:
            pipe.send(model.render(pipe.recv()))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return
    except PipelineError as error:
        pipe.send(error)
    except Exception:
        pipe.send(RuntimeError(f"in the worker on {device}:\n{traceback.format_exc()}"))
