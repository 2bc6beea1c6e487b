"""Worker processes, each on a pipe of its own, so that a worker that dies cannot cut off another one's message."""

import contextlib
import multiprocessing
import os
import signal
import threading
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent import futures
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import forkserver, resource_tracker, util
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerContext, SpawnContext
from multiprocessing.process import BaseProcess
from multiprocessing.reduction import ForkingPickler
from queue import Empty, SimpleQueue
from typing import Any, Generic, NamedTuple, Self, TypeVar

from pipeline.errors import PipelineError

_AHEAD = 2  # tasks that a worker has at a time, so that it never waits for the next one
_DEATHS = 2  # a task that this many workers died on is not tried again
_STARTING = 1.0  # seconds after Ctrl-C in which the start of a process is completed
_LEAVING = 10.0  # seconds after which a worker that is leaving by itself is ended

Task = TypeVar("Task")
Answer = Callable[[], object]  # the rest of the work on an answer; another thread does it during the next task
Make = Callable[..., Callable[[Any], Answer]]  # loads what tasks need, and returns the function that carries one out
_Inbox = SimpleQueue[bytes | None]


class Done(NamedTuple, Generic[Task]):
    """A task, the worker's answer, and the worker's name."""

    task: Task
    answer: Any
    worker: str


class DeathError(Exception):
    """Several workers died on one task, or no worker is left."""

    def __init__(self, worker: str, code: int | None, task: Any, deaths: int) -> None:
        self.task = task
        super().__init__(f"worker {worker} died (exit code {code}); {deaths} deaths on one task")


@dataclass
class _Worker(Generic[Task]):
    name: str
    process: BaseProcess
    asked: Any  # shared memory: how often it has asked for a task
    answered: int = 0
    tasks: deque[tuple[Task, int]] = field(default_factory=deque)  # open, oldest first, with the deaths on each


class Workers(Generic[Task]):
    """Processes that carry out tasks; each has the next task before it needs it. A context manager that ends them.

    If a worker dies, another worker tries its task once more. An error in a worker, unlike a death, ends the work at
    once, since another worker would meet it too.
    """

    def __init__(self, make: Make, arguments: Sequence[tuple[str, tuple[Any, ...]]], preload: str, cuda: bool) -> None:
        """Start a worker for each name and arguments; ``preload`` is the module that ``make`` works with.

        One server process imports it, and workers are forked from that. But CUDA cannot be used in a process that was
        forked from one that has looked for it, as importing diffusers does, so with ``cuda`` each worker imports it.
        """
        self._workers: dict[Connection, _Worker[Task]] = {}
        self._orphans = deque[tuple[Task, int]]()  # dead workers' open tasks, with the number of deaths on each
        context = multiprocessing.get_context("spawn") if cuda else multiprocessing.get_context("forkserver")
        try:
            if not cuda:
                warm_up(preload)
            for name, _ in arguments:
                _start_process(partial(self._start, context, name))
            for pipe, (_, given) in zip(self._workers, arguments, strict=True):
                _send(pipe, (make, given))
        except BaseException:
            self._end(at_once=True)
            raise

    def _start(self, context: ForkServerContext | SpawnContext, name: str) -> None:
        (ours, theirs), asked = context.Pipe(), context.Value("q", 0, lock=False)
        process = context.Process(target=_work, args=(theirs, asked), name=f"worker {name}", daemon=True)
        process.start()
        theirs.close()
        self._workers[ours] = _Worker(name, process, asked)

    def carry_out(self, more: Callable[[], Task | None]) -> Generator[Done[Task]]:
        """Yield tasks as they are done, until none is open and ``more`` returns None.

        ``more`` is called for a task whenever a worker can take one, and again after each ``yield``. Raises DeathError,
        and a worker's error as it is, but first yields the answers that other workers have sent by then.
        """
        self._feed(more)
        while readable := self._readable():
            for pipe in readable:
                try:
                    done = self._receive(pipe)
                    if done is None:
                        self._remove(pipe)
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

    def _readable(self) -> list[Connection]:
        """Wait until pipes of busy workers can be read, and return them; none if no worker is busy."""
        busy = [pipe for pipe, worker in self._workers.items() if worker.tasks]
        return [pipe for pipe in wait(busy) if isinstance(pipe, Connection)] if busy else []

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
        """Yield all answers that have arrived, without waiting for more."""
        for pipe, worker in self._workers.items():
            with contextlib.suppress(Exception):  # one error is reported already
                while worker.tasks and pipe.poll() and (done := self._receive(pipe)):
                    yield done

    def _remove(self, pipe: Connection) -> None:
        """Remove a dead worker and keep its tasks for others; raise DeathError if none can take them over."""
        worker = self._workers.pop(pipe)
        pipe.close()
        worker.process.join()
        # It died on the task that it asked for last, if there was one. An older one may wait for the end of its answer.
        others = list(worker.tasks)
        task, deaths = others.pop(min(max(worker.asked.value - worker.answered, 1), len(others)) - 1)
        if deaths + 1 >= _DEATHS or not self._workers:
            raise DeathError(worker.name, worker.process.exitcode, task, deaths + 1)
        self._orphans.extend([(task, deaths + 1), *others])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._end(at_once=kind is not None)

    def _end(self, at_once: bool) -> None:
        """End all workers: ``at_once`` in the middle of their tasks, else when they have carried them out."""
        try:
            for pipe, worker in list(self._workers.items()):
                worker.process.terminate() if at_once else pipe.close()  # a worker leaves when its pipe is closed
            for pipe, worker in list(self._workers.items()):
                worker.process.join()
                pipe.close()
        except BaseException:
            if not at_once:  # Ctrl-C while it waited
                self._end(at_once=True)
            raise
        self._workers.clear()


def warm_up(preload: str) -> None:
    """Start the server that workers are forked from; it imports ``preload`` while this process does something else."""
    forkserver.set_forkserver_preload([preload])
    _start_process(forkserver.ensure_running)


def _start_process(start: Callable[[], None]) -> None:
    """Start a process in a thread, so that Ctrl-C ends the wait for it but leaves no half-started process behind."""
    started = futures.Future[None]()

    def call() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])  # inherited: it is the coordinator's
        try:
            start()
            started.set_result(None)
        except Exception as error:
            started.set_exception(error)

    resource_tracker.ensure_running()  # else it is started within ``start``, and unblocks the signal
    try:
        threading.Thread(target=call, daemon=True).start()
        started.result()
    except KeyboardInterrupt:
        futures.wait([started], _STARTING)
        raise


def _plain(error: Exception) -> Exception:
    """Return a user's error as it is, and any other with its traceback as text, since not all can be pickled."""
    text = f"in {multiprocessing.current_process().name}:\n{traceback.format_exc()}"
    return error if isinstance(error, PipelineError) else RuntimeError(text)


def _send(pipe: Connection, message: object) -> None:
    with contextlib.suppress(OSError):  # the other side is gone, which reading from it shows
        pipe.send(message)


def _inbox(pipe: Connection) -> _Inbox:
    """Read messages in a thread; once the pipe is closed, None takes the place of all that nobody has got."""
    messages: _Inbox = SimpleQueue()

    def read() -> None:
        with contextlib.suppress(EOFError, OSError):
            while True:
                messages.put(pipe.recv_bytes())
        with contextlib.suppress(Empty):
            while True:
                messages.get_nowait()
        messages.put(None)

    threading.Thread(target=read, daemon=True).start()
    return messages


def _work(pipe: Connection, asked: Any) -> None:
    """Run a worker: load what tasks need, carry out tasks until the pipe is closed, send errors."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    leaving = threading.Lock()
    _end_on_signal(leaving)
    try:
        inbox = _inbox(pipe)
        if (message := inbox.get()) is not None:
            make, arguments = ForkingPickler.loads(message)
            carry_out = make(*arguments)
            _carry_out_all(carry_out, inbox, pipe, asked)
        leaving.acquire()  # while ``carry_out``, or the error, still holds what is released when it goes
    except Exception as error:
        _send(pipe, _plain(error))
        leaving.acquire()


def _carry_out_all(carry_out: Callable[[Any], Answer], inbox: _Inbox, pipe: Connection, asked: Any) -> None:
    """Carry out tasks until the pipe is closed; other threads read tasks and send answers, so that no side waits."""

    def finish(answer: Answer) -> None:
        try:
            _send(pipe, answer())
        except Exception as error:
            _send(pipe, _plain(error))

    with futures.ThreadPoolExecutor(1) as finisher:
        last = None
        while True:
            asked.value += 1
            if (message := inbox.get()) is None:
                return
            answer = carry_out(ForkingPickler.loads(message))
            if last is not None:
                last.result()
            last = finisher.submit(finish, answer)


def _end_on_signal(leaving: threading.Lock) -> None:
    """Have a thread end this process at SIGTERM, or when the process that started it is gone, whatever it is doing.

    A handler that raises SystemExit is not enough: the main thread may be in a callback of the garbage collector, where
    Python prints the exception and continues, or in minutes of compiled code. The thread also releases what outlives
    a process, such as named semaphores; ``leaving`` keeps it from that while the main thread does it.
    """
    parent = multiprocessing.parent_process()
    assert parent is not None
    received, number = os.pipe()
    os.set_blocking(number, False)
    signal.set_wakeup_fd(number)  # Python writes the number of every signal that has a handler into it at once
    signal.signal(signal.SIGTERM, lambda *_: None)

    def end() -> None:
        wait([received, parent.sentinel])
        leaving.acquire(timeout=_LEAVING)
        util._exit_function()  # type: ignore[attr-defined]
        os._exit(128 + signal.SIGTERM)

    threading.Thread(target=end, daemon=True).start()
