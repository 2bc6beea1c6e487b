"""Carry out the tasks of several runs at once, inline or in worker processes, one thread or one GPU each."""

import time
from collections import Counter, deque
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from pipeline import ledger
from pipeline.errors import ParameterError
from pipeline.federated.broadcasts import Broadcasts, Notice, Reader
from pipeline.federated.inputs import Inputs
from pipeline.federated.simulation import Result, Run, RunState, Task, TrainTask
from pipeline.federated.spill import Spill
from pipeline.federated.worker import Worker
from pipeline.processes import Answer, DeathError, Workers

_PRELOAD = "pipeline.federated.preload"

Execution = Generator[Sequence[Task], Sequence[Result], RunState]


@dataclass(frozen=True)
class ExecutionOptions:
    """How runs are carried out, and how often they are kept; changes no bit."""

    workers: int
    checkpoint_every: int = 10

    @property
    def devices(self) -> list[str]:
        """The device of each worker; where there are GPUs, workers share them evenly."""
        kinds = [f"cuda:{i}" for i in range(torch.cuda.device_count())] or ["cpu"]
        return [kinds[number % len(kinds)] for number in range(self.workers)]


def execute(
    executions: Mapping[str, Execution],
    run: Run,
    inputs: Inputs,
    workers: int,
    spill: Path,
    on_round: Callable[[str], None] = lambda _: None,
) -> dict[str, RunState]:
    """Carry out all runs; call ``on_round`` with a run's name whenever it has finished a round.

    Runs share model and settings, those of ``run``. With more than one worker the tasks of all runs are mixed, so that
    no worker waits for the slowest client of a round. Where there are GPUs, workers share them evenly. Updates that
    would fill the memory are kept in files in the folder ``spill``.
    """
    devices = [f"cuda:{i}" for i in range(torch.cuda.device_count())] or ["cpu"]
    spilled = Spill(run, len(executions), spill)
    if workers == 1:
        worker = Worker(inputs, run, devices[0])
        return {name: _inline(execution, worker, spilled, name, on_round) for name, execution in executions.items()}
    sharing = -(-workers // len(devices))
    arguments = [(str(i), (inputs, run, devices[i % len(devices)], sharing)) for i in range(workers)]
    cuda = devices[0] != "cpu"
    with Broadcasts() as broadcasts, Workers[_Posted](_load, arguments, _PRELOAD, cuda) as crew:
        try:
            return _Mixed(executions, crew, broadcasts, spilled, on_round).carry_out()
        except DeathError as error:
            fix = "if memory ran out use fewer --workers; run again to continue from the last checkpoint"
            raise ParameterError(str(error), "train", fix) from None


def _inline(
    execution: Execution, worker: Worker, spilled: Spill, name: str, on_round: Callable[[str], None]
) -> RunState:
    try:
        tasks = next(execution)
        while True:
            results = []
            for task in tasks:
                result, seconds = _timed(worker, task)
                ledger.spend(seconds)
                results.append(spilled.keep(result))
            tasks = execution.send(results)
            on_round(name)
    except StopIteration as end:
        last: RunState = end.value
        return last


@dataclass(frozen=True)
class _Posted:
    """A task of a run on its way to a worker."""

    run: str
    number: int
    """Its place among the tasks of the round."""
    task: Task
    """Without what the server sends."""
    broadcast: Notice


class _Mixed:
    """Several runs whose tasks are mixed."""

    def __init__(
        self,
        executions: Mapping[str, Execution],
        crew: Workers[_Posted],
        broadcasts: Broadcasts,
        spilled: Spill,
        on_round: Callable[[str], None],
    ) -> None:
        self._executions, self._crew, self._broadcasts, self._spilled = executions, crew, broadcasts, spilled
        self._on_round = on_round
        self._ended: dict[str, RunState] = {}
        self._found: dict[str, dict[int, Result]] = {}
        self._left = Counter[str]()
        self._queue = deque[_Posted]()

    def carry_out(self) -> dict[str, RunState]:
        for name in self._executions:
            self._continue(name, None)
        for posted, (result, seconds), _ in self._crew.carry_out(
            lambda: self._queue.popleft() if self._queue else None
        ):
            ledger.spend(seconds)
            self._found[posted.run][posted.number] = self._spilled.keep(result)
            self._left[posted.run] -= 1
            if not self._left[posted.run]:
                found = self._found.pop(posted.run)
                self._continue(posted.run, [result for _, result in sorted(found.items())])
        return {name: self._ended[name] for name in self._executions}

    def _continue(self, name: str, results: Sequence[Result] | None) -> None:
        """Send a round's results to a run and queue the tasks of its next round; None starts the run."""
        tasks: Sequence[Task] = []
        while not tasks:  # a round in which no client has an image is over at once
            try:
                execution = self._executions[name]
                tasks = next(execution) if results is None else execution.send(results)
            except StopIteration as end:
                self._ended[name] = end.value
                return
            if results is not None:
                self._on_round(name)
            results = []
        self._submit(name, tasks)

    def _submit(self, name: str, tasks: Sequence[Task]) -> None:
        """Queue tasks, the longest first: a round ends sooner if no long one is left for last."""
        order = sorted(range(len(tasks)), key=lambda i: -_cost(tasks[i]))
        notices = self._broadcasts.post(name, [tasks[i].broadcast for i in order])
        self._queue.extend(
            _Posted(name, i, replace(tasks[i], broadcast={}), notice) for i, notice in zip(order, notices, strict=True)
        )
        self._found[name], self._left[name] = {}, len(tasks)


def _load(inputs: Inputs, run: Run, device: str, sharing: int) -> Callable[[_Posted], Answer]:
    """Make a worker's Worker, in its process."""
    worker, reader = Worker(inputs, run, device, sharing), Reader()

    def carry_out(posted: _Posted) -> Answer:
        done = _timed(worker, replace(posted.task, broadcast=reader.state(posted.broadcast)))
        return lambda: done

    return carry_out


def _timed(worker: Worker, task: Task) -> tuple[Result, float]:
    """Carry out a task; return its result, and the seconds for which the device worked on it."""
    start = time.monotonic()
    result = worker.carry_out(task)
    return result, time.monotonic() - start


def _cost(task: Task) -> int:
    """Return about how many images go forward through the model; training one costs three times as much as that."""
    if isinstance(task, TrainTask):
        return 3 * task.samples
    return int(task.part.stop - task.part.start)
