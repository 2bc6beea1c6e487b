import multiprocessing
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.federated import simulation, workers
from pipeline.federated.arrays import Stored
from pipeline.federated.models import FlatModel
from pipeline.federated.simulation import Client, Outcome, Run, TrainTask
from pipeline.federated.workers import Data, Worker

Int64 = NDArray[np.int64]
MakeRun = Callable[..., Run]
MakeStored = Callable[[str, int], Stored]


def equal(one: Outcome, other: Outcome) -> bool:
    return one.rounds == other.rounds and np.array_equal(one.weights, other.weights)


def test_two_processes_give_the_bits_of_one_inline(images: Data, run: MakeRun) -> None:
    """Three runs at once; one picks clients, one tests seldom."""
    runs = {"a": run(), "b": run(seed=2, clients_per_round=2, rounds=4), "c": run(seed=3, eval_every=2)}
    inline_rounds, mixed_rounds = list[str](), list[str]()
    inline = workers.execute(runs, images, 1, inline_rounds.append)
    mixed = workers.execute(runs, images, 2, mixed_rounds.append)
    assert list(inline) == list(mixed) == ["a", "b", "c"]
    for name in runs:
        assert equal(inline[name], mixed[name]), name
    assert Counter(inline_rounds) == Counter(mixed_rounds) == {"a": 3, "b": 4, "c": 3}
    assert not multiprocessing.active_children()


def test_a_run_does_not_depend_on_the_runs_beside_it(images: Data, run: MakeRun) -> None:
    alone = workers.execute({"b": run(seed=2)}, images, 1)["b"]
    beside = workers.execute({"a": run(seed=1), "b": run(seed=2)}, images, 1)
    assert equal(alone, beside["b"])
    assert not np.array_equal(beside["a"].weights, beside["b"].weights)


def test_an_error_in_a_process_surfaces(images: Data, run: MakeRun) -> None:
    """A client whose images have labels that the model does not know."""
    unknown = images.real
    unknown.labels[:] = 7
    with pytest.raises(IndexError, match="Target 7 is out of bounds"):
        workers.execute({"a": run()}, replace(images, real=unknown), 2)
    assert not multiprocessing.active_children()


def test_a_client_trains_on_its_own_stretches(images: Data, run: MakeRun, stored: MakeStored) -> None:
    """Images outside the client's stretches do not matter; those inside, real or extra, do."""
    made = run()
    client = Client(slice(3, 9), slice(2, 6), 4)
    task = TrainTask(client, np.zeros(len(FlatModel("simple-cnn", 3, 16).vector), np.float32) + 0.01, 5)

    def weights(real: Int64, extra: Int64) -> bytes:
        data = replace(images, real=Stored(images.real.path, real), extra=Stored(stored("extra", 12).path, extra))
        result = Worker(data, made).carry_out(task)
        assert isinstance(result[0], np.ndarray)
        assert result[1] == 6 + 4 + 6 + 4
        return result[0].tobytes()

    real, extra = np.arange(30) % 3, np.arange(12) % 3
    expected = weights(real, extra)
    other_real, other_extra = (real + 1) % 3, (extra + 1) % 3
    other_real[3:9], other_extra[2:6] = real[3:9], extra[2:6]
    assert weights(other_real, other_extra) == expected
    assert weights((real + 1) % 3, extra) != expected
    assert weights(real, (extra + 1) % 3) != expected


def test_without_a_fill_there_are_only_real_images(images: Data, run: MakeRun) -> None:
    clients = [Client(slice(0, 12), slice(0, 0), 2), Client(slice(12, 30), slice(0, 0), 3)]
    runs = {"a": run(clients)}
    without = workers.execute(runs, replace(images, extra=None), 1)["a"]
    assert equal(without, workers.execute(runs, images, 1)["a"])


def test_a_task_starts_from_its_own_weights(images: Data, run: MakeRun) -> None:
    worker = Worker(images, run())
    zeros = np.zeros(len(worker.model.vector), np.float32)
    first = worker.carry_out(simulation.EvalTask(zeros))
    worker.carry_out(TrainTask(run().clients[0], zeros + 0.01, 1))
    assert worker.carry_out(simulation.EvalTask(zeros)) == first
    assert not zeros.any()
