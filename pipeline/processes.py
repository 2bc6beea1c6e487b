"""Worker processes, each at the other end of a pipe of its own, so that none can leave half a message to another's."""

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from multiprocessing.reduction import ForkingPickler
from queue import SimpleQueue
from types import TracebackType
from typing import Any, Generic, NamedTuple, Self, TypeVar

from pipeline.errors import PipelineError

_AHEAD = 2  # tasks that a worker has at a time, so that it never waits for the next one
_DEATHS = 2  # a task in whose hands this many workers died is not tried again

Task = TypeVar("Task")
Answer = Callable[[], object]
"""What is left to do for an answer; another thread does it while the next task is carried out."""
Make = Callable[..., Callable[[Any], Answer]]
"""Called in the worker with its arguments: loads what tasks need, and returns what carries one out."""


class Done(NamedTuple, Generic[Task]):
    """A task, what a worker made of it, and the worker's name."""

    task: Task
    answer: Any
    worker: str


class DeathError(Exception):
    """Workers died on one task, or none is left."""

    def __init__(self, worker: str, code: int | None, task: Any, deaths: int) -> None:
        self.task = task
        super().__init__(f"worker {worker} died (exit code {code}); {deaths} deaths on one task")


@dataclass
class _Worker(Generic[Task]):
    name: str
    process: BaseProcess
    asked: Any
    """How often it asked for a task, in memory that it shares."""
    answered: int = 0
    tasks: deque[tuple[Task, int]] = field(default_factory=deque)
    """What it was sent and has not answered, oldest first, with the number of workers that each has killed."""


class Workers(Generic[Task]):
    """Processes that carry out tasks, each fed over a pipe, a task ahead; a context manager that ends them.

    A worker that dies costs the task in its hands a second try on another worker. An error in a worker, unlike a
    death, ends the work at once, since another worker would meet it too.
    """

    def __init__(self, make: Make, arguments: Sequence[tuple[str, tuple[Any, ...]]], preload: str, cuda: bool) -> None:
        """Start a worker for each name and arguments; ``preload`` is the module that ``make`` works with.

        One server process imports it, and workers are forked from that; but CUDA cannot be used in a process that was
        forked from one that has looked for it, as importing diffusers does, so with ``cuda`` each imports it itself.
        """
        self._workers: dict[Connection, _Worker[Task]] = {}
        self._orphans = deque[tuple[Task, int]]()
        """What dead workers left, with the number of workers that each has killed."""
        context = multiprocessing.get_context("spawn") if cuda else multiprocessing.get_context("forkserver")
        with _interrupts_later():
            if not cuda:
                forkserver.set_forkserver_preload([preload])
                forkserver.ensure_running()
        for name, given in arguments:
            ours, theirs = context.Pipe()
            asked = context.Value("q", 0, lock=False)
            told = theirs, asked, make, given
            process = context.Process(target=_live, args=told, name=f"worker {name}", daemon=True)
            with _interrupts_later() if cuda else contextlib.nullcontext():
                process.start()
            theirs.close()
            self._workers[ours] = _Worker(name, process, asked)

    def carry_out(self, more: Callable[[], Task | None]) -> Generator[Done[Task]]:
        """Yield tasks as they are done, until none is open and ``more`` gives none.

        ``more`` is asked for a task whenever a worker has room, and again after each ``yield``. Raises DeathError, and
        the errors of workers as they are; answers that lie ready then are yielded first.
        """
        self._feed(more)
        while answering := self._answering():
            for pipe in answering:
                try:
                    done = self._receive(pipe)
                    if done is None:
                        self._bury(pipe)
                except Exception:
                    yield from self._ready()
                    raise
                self._feed(more)
                if done is not None:
                    yield done
                    self._feed(more)

    def _feed(self, more: Callable[[], Task | None]) -> None:
        """Bring every worker to one task, then every one to two, and so on, so that the last ones spread."""
        for depth in range(1, _AHEAD + 1):
            for pipe, worker in self._workers.items():
                if len(worker.tasks) < depth:
                    if self._orphans:
                        given = self._orphans.popleft()
                    elif (task := more()) is not None:
                        given = task, 0
                    else:
                        return
                    worker.tasks.append(given)
                    _send(pipe, given[0])

    def _answering(self, timeout: float | None = None) -> list[Connection]:
        """Return the pipes of busy workers that can be read from, waiting for one if need be; none if none is busy."""
        busy = [pipe for pipe, worker in self._workers.items() if worker.tasks]
        return [pipe for pipe in wait(busy, timeout) if isinstance(pipe, Connection)] if busy else []

    def _receive(self, pipe: Connection) -> Done[Task] | None:
        """Return what a worker has done, or None if it died; raise the error that it met."""
        worker = self._workers[pipe]
        try:
            answer = pipe.recv()
        except (EOFError, OSError):
            return None
        if isinstance(answer, BaseException):
            raise answer
        worker.answered += 1
        return Done(worker.tasks.popleft()[0], answer, worker.name)

    def _ready(self) -> Iterator[Done[Task]]:
        """Yield what other workers have done by now."""
        for pipe in self._answering(timeout=0):
            with contextlib.suppress(Exception):
                if done := self._receive(pipe):
                    yield done

    def _bury(self, pipe: Connection) -> None:
        """Forget a dead worker and keep its tasks for others; raise DeathError if none can take them over."""
        worker = self._workers.pop(pipe)
        pipe.close()
        worker.process.join()
        # It takes them in order. The one that it asked for last is the one that it died with, unless none was left to
        # get; an older one may be unanswered yet, since finishing an answer takes its time.
        others = list(worker.tasks)
        task, deaths = others.pop(min(max(worker.asked.value - worker.answered, 1), len(others)) - 1)
        if deaths + 1 >= _DEATHS or not self._workers:
            raise DeathError(worker.name, worker.process.exitcode, task, deaths + 1)
        self._orphans.extend([(task, deaths + 1), *others])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for pipe, worker in self._workers.items():
            pipe.close()  # a worker leaves when its pipe is closed
            if kind is not None:
                worker.process.terminate()  # nobody waits for what it is doing
        for worker in self._workers.values():
            worker.process.join()
        self._workers.clear()


@contextlib.contextmanager
def _interrupts_later() -> Iterator[None]:
    """Let processes that are started meanwhile not hear of Ctrl-C, which is the coordinating process's to handle."""
    resource_tracker.ensure_running()  # else it is started within the block, and lets interrupts through
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _send(pipe: Connection, message: object) -> None:
    with contextlib.suppress(OSError):  # the other side is gone; reading from it will tell
        pipe.send(message)


class _Inbox:
    """Reads a worker's tasks in a thread of its own."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe, self._messages, self._closed = pipe, SimpleQueue[bytes](), threading.Event()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        with contextlib.suppress(EOFError, OSError):
            while True:
                self._messages.put(self._pipe.recv_bytes())
        self._closed.set()
        self._messages.put(b"")

    def next(self) -> bytes | None:
        """Wait for the next task and return it as it came; None once the pipe is closed, whatever is left."""
        message = self._messages.get()
        return None if self._closed.is_set() else message  # nobody waits for the tasks that are still there


def _live(pipe: Connection, asked: Any, make: Make, arguments: tuple[Any, ...]) -> None:
    """A worker's life: get ready, carry out tasks until the pipe closes, and finish each answer during the next task.

    Other threads read tasks and send answers, so that the coordinating process waits neither while a task is carried
    out nor, if both are large, for ever.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # orderly: libraries give back their semaphores
    threading.Thread(target=_end_with_parent, daemon=True).start()

    def finish(answer: Answer) -> None:
        try:
            _send(pipe, answer())
        except Exception:
            _send(pipe, _told())

    try:
        carry_out = make(*arguments)
        with ThreadPoolExecutor(1) as finisher:
            inbox, last = _Inbox(pipe), None
            while True:
                asked.value += 1
                message = inbox.next()
                if message is None:
                    return
                answer = carry_out(ForkingPickler.loads(message))
                if last is not None:
                    last.result()
                last = finisher.submit(finish, answer)
    except PipelineError as error:
        _send(pipe, error)
    except Exception:
        _send(pipe, _told())


def _told() -> RuntimeError:
    return RuntimeError(f"in {multiprocessing.current_process().name}:\n{traceback.format_exc()}")


def _end_with_parent() -> None:
    """End this process when the one that started it is killed, whatever it is doing."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)
