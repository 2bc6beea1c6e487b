"""Carry out the tasks of several runs at once, inline or in worker processes, one thread each."""

import multiprocessing
from collections import Counter
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from queue import SimpleQueue

import torch

from pipeline.federated import local
from pipeline.federated.arrays import Stored
from pipeline.federated.local import Normalisation
from pipeline.federated.models import FlatModel
from pipeline.federated.simulation import EvalResult, Outcome, Run, Task, TrainResult, TrainTask, simulate


@dataclass(frozen=True)
class Data:
    """The images that all runs of a call share."""

    real: Stored
    extra: Stored | None
    test: Stored
    norm: Normalisation


class Worker:
    """Carries out tasks on mapped images; one in each process."""

    def __init__(self, data: Data, run: Run) -> None:
        torch.set_num_threads(1)
        self.data, self.hyper = data, run.hyper
        self.model = FlatModel(run.model, run.classes, run.image_size)
        parts = [data.real] if data.extra is None else [data.real, data.extra]
        self.parts = [(torch.from_numpy(part.pixels), torch.from_numpy(part.labels)) for part in parts]
        self.test_images = torch.from_numpy(data.test.pixels)
        self.test_labels = torch.from_numpy(data.test.labels)

    def carry_out(self, task: Task) -> TrainResult | EvalResult:
        self.model.vector.copy_(torch.from_numpy(task.weights))
        if not isinstance(task, TrainTask):
            return local.test(self.model, self.test_images, self.test_labels, self.data.norm)
        stretches = (task.client.real, task.client.extra)
        images = torch.cat([part[0][stretch] for part, stretch in zip(self.parts, stretches, strict=False)])
        labels = torch.cat([part[1][stretch] for part, stretch in zip(self.parts, stretches, strict=False)])
        samples = local.train(self.model, images, labels, self.data.norm, self.hyper, task.client.steps, task.seed)
        return self.model.vector.numpy().copy(), samples


Execution = Generator[Sequence[Task], Sequence[TrainResult | EvalResult], Outcome]


def execute(
    runs: Mapping[str, Run], data: Data, workers: int, on_round: Callable[[str], None] = lambda _: None
) -> dict[str, Outcome]:
    """Carry out all runs; call ``on_round`` with a run's name whenever it has finished a round.

    Runs share model and hyper-parameters. With more than one worker the tasks of all runs are mixed, so that no worker
    waits for the slowest client of a round.
    """
    first = next(iter(runs.values()))
    if workers == 1:
        worker = Worker(data, first)
        return {name: _inline(simulate(run), worker, name, on_round) for name, run in runs.items()}
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, initializer=_start, initargs=(data, first)) as pool:
        try:
            return _mixed({name: simulate(run) for name, run in runs.items()}, pool, on_round)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _inline(execution: Execution, worker: Worker, name: str, on_round: Callable[[str], None]) -> Outcome:
    tasks = next(execution)
    while True:
        try:
            tasks = execution.send([worker.carry_out(task) for task in tasks])
        except StopIteration as end:
            outcome: Outcome = end.value
            return outcome
        on_round(name)


def _mixed(
    executions: Mapping[str, Execution], pool: ProcessPoolExecutor, on_round: Callable[[str], None]
) -> dict[str, Outcome]:
    outcomes: dict[str, Outcome] = {}
    rounds: dict[str, list[Future[TrainResult | EvalResult]]] = {}
    finished: SimpleQueue[str] = SimpleQueue()  # a run's name for each task of its round that is done
    open_tasks = Counter[str]()

    def submit(name: str, tasks: Sequence[Task]) -> None:
        # The longest tasks first: a round ends sooner if no long one is left for last.
        order = sorted(range(len(tasks)), key=lambda i: -_steps(tasks[i]))
        futures = {i: pool.submit(_carry_out, tasks[i]) for i in order}
        rounds[name], open_tasks[name] = [futures[i] for i in range(len(tasks))], len(tasks)
        for future in rounds[name]:
            future.add_done_callback(lambda _: finished.put(name))

    for name, execution in executions.items():
        submit(name, next(execution))
    while len(outcomes) < len(executions):
        name = finished.get()
        open_tasks[name] -= 1
        if open_tasks[name]:
            continue
        try:
            submit(name, executions[name].send([future.result() for future in rounds[name]]))
        except StopIteration as end:
            outcomes[name] = end.value
            continue
        on_round(name)
    return {name: outcomes[name] for name in executions}


def _steps(task: Task) -> int:
    return task.client.steps if isinstance(task, TrainTask) else 0


_worker: Worker | None = None


def _start(data: Data, run: Run) -> None:
    global _worker  # one worker for each process, made when the process starts
    _worker = Worker(data, run)


def _carry_out(task: Task) -> TrainResult | EvalResult:
    assert _worker is not None
    return _worker.carry_out(task)
