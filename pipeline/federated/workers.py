"""Carry out the tasks of several runs at once, inline or in worker processes, one thread or one GPU each."""

import ctypes
import multiprocessing
import os
import threading
from collections import Counter
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing.shared_memory import SharedMemory
from multiprocessing.synchronize import Lock
from queue import SimpleQueue
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pipeline.federated import local
from pipeline.federated.algorithms.fedavg import State, Update
from pipeline.federated.arrays import Stored
from pipeline.federated.local import Local, Normalisation
from pipeline.federated.models import FlatModel
from pipeline.federated.simulation import EvalTask, Progress, Result, Run, Score, Task, TrainTask

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3  # of malloc.h

Execution = Generator[Sequence[Task], Sequence[Result], Progress]


@dataclass(frozen=True)
class Data:
    """The images that all runs of a call share."""

    real: Stored
    extra: Stored | None
    test: Stored
    norm: Normalisation


class Worker:
    """Carries out tasks on mapped images; one in each process."""

    def __init__(self, data: Data, run: Run, device: str = "cpu") -> None:
        if device == "cpu":
            torch.set_num_threads(1)
            _keep_memory()
        else:
            torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
        self.data, self.hyper, self.device = data, run.hyper, device
        self._make = partial(FlatModel, run.model, run.norm, len(run.tests), run.image_size, device=device)
        self.model, self.others = self._make(), dict[str, FlatModel]()
        self.classes, self.normalise = len(run.tests), data.norm.on(run.image_size, device)
        parts = [data.real] if data.extra is None else [data.real, data.extra]
        self.parts = [self._load(part) for part in parts]
        self.test_images, self.test_labels = self._load(data.test)

    def _load(self, stored: Stored) -> tuple[Tensor, Tensor]:
        return torch.from_numpy(stored.pixels).to(self.device), torch.from_numpy(stored.labels).to(self.device)

    def carry_out(self, task: Task) -> Result:
        down = self._tensors(task.down)
        if isinstance(task, EvalTask):
            self.model.vector.copy_(down["weights"])
            images, labels = self.test_images[task.part], self.test_labels[task.part]
            right, loss = local.test(self.model, images, labels, self.normalise, self.classes)
            return Score(tuple(right.tolist()), loss)
        stretches = (task.client.real, task.client.extra)
        images = torch.cat([part[0][stretch] for part, stretch in zip(self.parts, stretches, strict=False)])
        labels = torch.cat([part[1][stretch] for part, stretch in zip(self.parts, stretches, strict=False)])
        training = Local(self.model, down, self._tensors(task.own), self.hyper, task.rate, self._other)
        steps = task.client.steps
        samples = local.train(training, task.algorithm, images, labels, self.normalise, steps, task.seed)
        up, own = task.algorithm.end(training)
        return Update(up, own, len(labels), training.steps, samples)

    def _tensors(self, state: State) -> dict[str, Tensor]:
        return {name: torch.from_numpy(vector).to(self.device) for name, vector in state.items()}

    def _other(self, name: str, weights: Tensor) -> FlatModel:
        if name not in self.others:
            self.others[name] = self._make()
            self.others[name].module.eval()
        self.others[name].vector.copy_(weights)
        return self.others[name]


def execute(
    executions: Mapping[str, Execution],
    run: Run,
    data: Data,
    workers: int,
    on_round: Callable[[str], None] = lambda _: None,
) -> dict[str, Progress]:
    """Carry out all runs; call ``on_round`` with a run's name whenever it has finished a round.

    Runs share model and hyper-parameters, those of ``run``. With more than one worker the tasks of all runs are mixed,
    so that no worker waits for the slowest client of a round. Where there are GPUs, workers share them evenly.
    """
    devices = [f"cuda:{i}" for i in range(torch.cuda.device_count())] or ["cpu"]
    if workers == 1:
        worker = Worker(data, run, devices[0])
        return {name: _inline(execution, worker, name, on_round) for name, execution in executions.items()}
    context = multiprocessing.get_context("forkserver")  # imports torch once for all workers
    context.set_forkserver_preload([__name__])
    turn, lock = context.Value("i", 0, lock=False), context.Lock()
    start = (data, run, [devices[i % len(devices)] for i in range(workers)], turn, lock)
    with _Boards() as boards, ProcessPoolExecutor(workers, context, initializer=_start, initargs=start) as pool:
        try:
            return _mixed(executions, pool, boards, run.hyper.batch_size, on_round)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _inline(execution: Execution, worker: Worker, name: str, on_round: Callable[[str], None]) -> Progress:
    try:
        tasks = next(execution)
        while True:
            tasks = execution.send([worker.carry_out(task) for task in tasks])
            on_round(name)
    except StopIteration as end:
        progress: Progress = end.value
        return progress


def _mixed(
    executions: Mapping[str, Execution],
    pool: ProcessPoolExecutor,
    boards: "_Boards",
    batch_size: int,
    on_round: Callable[[str], None],
) -> dict[str, Progress]:
    ended: dict[str, Progress] = {}
    rounds: dict[str, list[Future[Result]]] = {}
    finished: SimpleQueue[str] = SimpleQueue()  # a run's name for each task of its round that is done
    open_tasks = Counter[str]()

    def submit(name: str, tasks: Sequence[Task]) -> None:
        # The longest tasks first: a round ends sooner if no long one is left for last.
        order = sorted(range(len(tasks)), key=lambda i: -_cost(tasks[i], batch_size))
        posted = boards.post(name, [tasks[i].down for i in order])
        futures = {
            i: pool.submit(_carry_out, replace(tasks[i], down={}), notice)
            for i, notice in zip(order, posted, strict=True)
        }
        rounds[name], open_tasks[name] = [futures[i] for i in range(len(tasks))], len(tasks)
        for future in rounds[name]:
            future.add_done_callback(lambda _: finished.put(name))

    def go_on(name: str, results: Sequence[Result] | None) -> None:
        tasks: Sequence[Task] = []
        while not tasks:  # a round in which nobody has an image is over at once
            try:
                tasks = next(executions[name]) if results is None else executions[name].send(results)
            except StopIteration as end:
                ended[name] = end.value
                return
            if results is not None:
                on_round(name)
            results = []
        submit(name, tasks)

    for name in executions:
        go_on(name, None)
    while len(ended) < len(executions):
        name = finished.get()
        open_tasks[name] -= 1
        if not open_tasks[name]:
            go_on(name, [future.result() for future in rounds[name]])
    return {name: ended[name] for name in executions}


def _cost(task: Task, batch_size: int) -> int:
    """Return about how many images go forward through the model; training one costs three times as much as that."""
    if isinstance(task, TrainTask):
        return 3 * task.client.steps * batch_size
    return int(task.part.stop - task.part.start)


def _keep_memory() -> None:
    """Have glibc keep freed memory for the next step.

    It would give that of the larger activations back to the system after each step, which then clears it page by page
    for the next: a fifth of ResNet-20's time.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # other C libraries have none
    if mallopt is not None:
        for option, size in ((_TRIM_THRESHOLD, 1 << 30), (_MMAP_THRESHOLD, 32 << 20), (_TOP_PAD, 64 << 20)):
            mallopt(option, size)


Notice = tuple[str, tuple[tuple[str, int, int], ...]]
"""The name of a block of shared memory, and the vectors in it: their names, places in bytes, and lengths."""


class _Boards:
    """What servers send down, written once a round into memory that all workers see, and not once for each client."""

    def __init__(self) -> None:
        self._blocks: dict[str, SharedMemory] = {}

    def __enter__(self) -> "_Boards":
        return self

    def __exit__(self, *_: object) -> None:
        for block in self._blocks.values():
            block.close()
            block.unlink()

    def post(self, run: str, downs: Sequence[State]) -> list[Notice]:
        """Write each distinct state of a run's next tasks over those of its last ones, which are all done."""
        distinct = {id(vector): vector for down in downs for vector in down.values()}
        size = sum(vector.nbytes for vector in distinct.values())
        if run not in self._blocks or self._blocks[run].size < size:
            if run in self._blocks:
                self._blocks[run].close()
                self._blocks[run].unlink()
            self._blocks[run] = SharedMemory(create=True, size=max(size, 1))
        block, starts, start = self._blocks[run], dict[int, int](), 0
        for key, vector in distinct.items():
            np.ndarray(vector.shape, np.float32, block.buf, start)[:] = vector
            starts[key] = start
            start += vector.nbytes
        return [(block.name, tuple((name, starts[id(v)], len(v)) for name, v in down.items())) for down in downs]


_worker: Worker | None = None
_attached: dict[str, SharedMemory] = {}


def _start(data: Data, run: Run, devices: Sequence[str], turn: Any, lock: Lock) -> None:
    global _worker  # one worker for each process, made when the process starts
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with lock:
        device = devices[turn.value % len(devices)]
        turn.value += 1
    _worker = Worker(data, run, device)


def _end_with_parent() -> None:
    """End this process when the one that started it is killed; it could wait for tasks for ever otherwise."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _carry_out(task: Task, notice: Notice) -> Result:
    assert _worker is not None
    name, vectors = notice
    if name not in _attached:
        _attached[name] = SharedMemory(name)
    down = {key: np.ndarray((length,), np.float32, _attached[name].buf, at) for key, at, length in vectors}
    return _worker.carry_out(replace(task, down=down))
