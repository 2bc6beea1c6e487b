"""Carry out the tasks of several runs at once, inline or in worker processes, one thread or one GPU each."""

import ctypes
import os
from collections import Counter, deque
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pipeline.errors import ParameterError
from pipeline.federated import local
from pipeline.federated.algorithms.fedavg import State, Update
from pipeline.federated.arrays import Stored
from pipeline.federated.local import Local, Normalisation
from pipeline.federated.models import FlatModel
from pipeline.federated.shelf import Shelf
from pipeline.federated.simulation import EvalTask, Progress, Result, Run, Score, Task, TrainTask
from pipeline.processes import Answer, DeathError, Workers

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
    shelf = Shelf(run, len(executions))
    if workers == 1:
        worker = Worker(data, run, devices[0])
        return {name: _inline(execution, worker, shelf, name, on_round) for name, execution in executions.items()}
    arguments = [(str(i), (data, run, devices[i % len(devices)])) for i in range(workers)]
    cuda = devices[0] != "cpu"
    with _Boards() as boards, Workers[_Posted](_load, arguments, __name__, cuda) as crew:
        try:
            return _mixed(executions, crew, boards, shelf, run.hyper.batch_size, on_round)
        except DeathError as error:
            fix = "if memory ran out use fewer --workers; run again to go on from the last checkpoint"
            raise ParameterError(str(error), "train", fix) from None


def _inline(execution: Execution, worker: Worker, shelf: Shelf, name: str, on_round: Callable[[str], None]) -> Progress:
    try:
        tasks = next(execution)
        while True:
            tasks = execution.send([shelf.keep(worker.carry_out(task)) for task in tasks])
            on_round(name)
    except StopIteration as end:
        progress: Progress = end.value
        return progress


@dataclass(frozen=True)
class _Posted:
    """A task of a run on its way to a worker."""

    run: str
    number: int
    """Its place among the tasks of the round."""
    task: Task
    """Without what the server sends down."""
    down: "Notice"


def _mixed(
    executions: Mapping[str, Execution],
    crew: Workers[_Posted],
    boards: "_Boards",
    shelf: Shelf,
    batch_size: int,
    on_round: Callable[[str], None],
) -> dict[str, Progress]:
    ended: dict[str, Progress] = {}
    found: dict[str, dict[int, Result]] = {}
    left = Counter[str]()
    queue = deque[_Posted]()

    def submit(name: str, tasks: Sequence[Task]) -> None:
        # The longest tasks first: a round ends sooner if no long one is left for last.
        order = sorted(range(len(tasks)), key=lambda i: -_cost(tasks[i], batch_size))
        posted = boards.post(name, [tasks[i].down for i in order])
        queue.extend(_Posted(name, i, replace(tasks[i], down={}), down) for i, down in zip(order, posted, strict=True))
        found[name], left[name] = {}, len(tasks)

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
    for posted, result, _ in crew.carry_out(lambda: queue.popleft() if queue else None):
        found[posted.run][posted.number] = shelf.keep(result)
        left[posted.run] -= 1
        if not left[posted.run]:
            go_on(posted.run, [result for _, result in sorted(found.pop(posted.run).items())])
    return {name: ended[name] for name in executions}


def _load(data: Data, run: Run, device: str) -> Callable[[_Posted], Answer]:
    """Make a worker's Worker, in its process."""
    worker, attached = Worker(data, run, device), dict[str, SharedMemory]()

    def carry_out(posted: _Posted) -> Answer:
        name, vectors = posted.down
        if name not in attached:
            attached[name] = SharedMemory(name)
        down = {key: np.ndarray((length,), np.float32, attached[name].buf, at) for key, at, length in vectors}
        result = worker.carry_out(replace(posted.task, down=down))
        return lambda: result

    return carry_out


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
            self._blocks[run] = _reserved(max(size, 1))
        block, starts, start = self._blocks[run], dict[int, int](), 0
        for key, vector in distinct.items():
            np.ndarray(vector.shape, np.float32, block.buf, start)[:] = vector
            starts[key] = start
            start += vector.nbytes
        return [(block.name, tuple((name, starts[id(v)], len(v)) for name, v in down.items())) for down in downs]


def _reserved(size: int) -> SharedMemory:
    """Return a new block whose memory is there; writing to one that is only promised would end the process."""
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
