import multiprocessing
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.errors import ParameterError
from pipeline.federated import workers
from pipeline.federated.algorithms import FedAvg, make
from pipeline.federated.algorithms.fedavg import Update
from pipeline.federated.arrays import Stored
from pipeline.federated.models import FlatModel
from pipeline.federated.simulation import Client, EvalTask, Progress, Run, Score, TrainTask, begin, simulate
from pipeline.federated.workers import Data, Worker

Int64 = NDArray[np.int64]
MakeRun = Callable[..., Run]
MakeStored = Callable[[str, int], Stored]


def execute(
    runs: Mapping[str, Run], data: Data, count: int, on_round: Callable[[str], None] = lambda _: None
) -> dict[str, Progress]:
    executions = {name: simulate(made, begin(made)) for name, made in runs.items()}
    return workers.execute(executions, next(iter(runs.values())), data, count, on_round)


def bits(progress: Progress) -> object:
    """Return all that a run ends with, so that it can be compared."""
    own = {client: {name: vector.tobytes() for name, vector in kept.items()} for client, kept in progress.own.items()}
    return progress.rounds, {name: vector.tobytes() for name, vector in progress.state.items()}, own


def equal(one: Progress, other: Progress) -> bool:
    return bits(one) == bits(other)


def test_two_processes_give_the_bits_of_one_inline(images: Data, run: MakeRun) -> None:
    """Three runs at once; one picks clients, one tests seldom."""
    runs = {"a": run(), "b": run(seed=2, clients_per_round=2, rounds=4), "c": run(seed=3, eval_every=2)}
    inline_rounds, mixed_rounds = list[str](), list[str]()
    inline = execute(runs, images, 1, inline_rounds.append)
    mixed = execute(runs, images, 2, mixed_rounds.append)
    assert list(inline) == list(mixed) == ["a", "b", "c"]
    for name in runs:
        assert equal(inline[name], mixed[name]), name
    assert Counter(inline_rounds) == Counter(mixed_rounds) == {"a": 3, "b": 4, "c": 3}
    assert not multiprocessing.active_children()


def test_a_run_does_not_depend_on_the_runs_beside_it(images: Data, run: MakeRun) -> None:
    alone = execute({"b": run(seed=2)}, images, 1)["b"]
    beside = execute({"a": run(seed=1), "b": run(seed=2)}, images, 1)
    assert equal(alone, beside["b"])
    assert not np.array_equal(beside["a"].weights, beside["b"].weights)


def test_an_error_in_a_process_surfaces(images: Data, run: MakeRun) -> None:
    """A client whose images have labels that the model does not know."""
    unknown = images.real
    unknown.labels[:] = 7
    with pytest.raises(RuntimeError, match=r"in worker \d:\n(.|\n)*IndexError: Target 7 is out of bounds"):
        execute({"a": run()}, replace(images, real=unknown), 2)
    assert not multiprocessing.active_children()


def test_a_client_trains_on_its_own_stretches(images: Data, run: MakeRun, stored: MakeStored) -> None:
    """Images outside the client's stretches do not matter; those inside, real or extra, do."""
    made = run()
    client = Client(slice(3, 9), slice(2, 6), 4)
    task = TrainTask(client, FedAvg(), {"weights": level(0.01)}, {}, 0.05, 5)

    def weights(real: Int64, extra: Int64) -> bytes:
        data = replace(images, real=Stored(images.real.path, real), extra=Stored(stored("extra", 12).path, extra))
        result = Worker(data, made).carry_out(task)
        assert isinstance(result, Update)
        assert (result.size, result.steps, result.samples) == (6 + 4, 4, 6 + 4 + 6 + 4)
        return result.up["weights"].tobytes()

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
    without = execute(runs, replace(images, extra=None), 1)["a"]
    assert equal(without, execute(runs, images, 1)["a"])


def test_a_task_starts_from_its_own_weights(images: Data, run: MakeRun) -> None:
    worker, zeros = Worker(images, run()), level(0.0)
    test = EvalTask({"weights": zeros}, slice(0, 9))
    first = worker.carry_out(test)
    worker.carry_out(TrainTask(run().clients[0], FedAvg(), {"weights": level(0.01)}, {}, 0.05, 1))
    assert worker.carry_out(test) == first
    assert not zeros.any()


def test_a_test_is_of_its_part_of_the_images(images: Data, run: MakeRun) -> None:
    """All weights zero: label 0 is always guessed, and labels 0, 1 and 2 take turns; every loss is log 3.

    Of images 4 to 8, labels 1, 2, 0, 1 and 2, one is right.
    """
    score = Worker(images, run()).carry_out(EvalTask({"weights": level(0.0)}, slice(4, 9)))
    assert isinstance(score, Score)
    assert score.right == (1, 0, 0)
    assert score.loss == pytest.approx(5 * np.log(3), rel=1e-6)


def test_what_clients_keep_and_servers_send_comes_through_processes(images: Data, run: MakeRun) -> None:
    """Clients of SCAFFOLD and MOON keep something, those of FedAdam do not."""
    runs = {name: replace(run(), algorithm=make(name, {})) for name in ("scaffold", "moon", "fedadam")}
    inline, mixed = execute(runs, images, 1), execute(runs, images, 2)
    for name in runs:
        assert equal(inline[name], mixed[name]), name
    assert {name: set(end.own) for name, end in mixed.items()} == {
        "scaffold": {0, 1, 2},
        "moon": {0, 1, 2},
        "fedadam": set(),
    }


def test_a_round_in_which_nobody_has_an_image_is_over_at_once(images: Data, run: MakeRun) -> None:
    """One of four clients is drawn each round, and only the second has images: the other rounds change nothing.

    Beside it runs one in which nobody ever has an image, and one that is always tested.
    """
    nobody = Client(slice(0, 0), slice(0, 0), 1)
    lone = [nobody, Client(slice(0, 12), slice(0, 4), 2), nobody, nobody]
    runs = {
        "lone": run(lone, rounds=12, clients_per_round=1, eval_every=5),
        "none": run([nobody, nobody], rounds=4, eval_every=9),
        "tested": run(lone, rounds=6, clients_per_round=1, seed=3),
    }
    rounds: dict[int, Counter[str]] = {1: Counter(), 2: Counter()}
    inline, mixed = (execute(runs, images, count, lambda name, n=count: rounds[n].update([name])) for count in (1, 2))  # type: ignore[misc]
    for name in runs:
        assert equal(inline[name], mixed[name]), name
    assert rounds[1] == rounds[2] == {"lone": 12, "none": 4, "tested": 6}
    steps = [done.steps for done in inline["lone"].rounds]
    assert set(steps) == {0, 2}
    assert [done.bytes_up == done.bytes_down == 0 for done in inline["lone"].rounds] == [taken == 0 for taken in steps]
    assert np.array_equal(inline["none"].weights, begin(runs["none"]).weights)
    assert [done.accuracy is None for done in inline["none"].rounds] == [True] * 3 + [False]


def test_a_run_that_stops_early_leaves_the_others_to_their_end(images: Data, run: MakeRun) -> None:
    """Any accuracy is enough for the first; it ends with the round in which it first has one."""
    runs = {"a": replace(run(rounds=8, eval_every=2), stop_at=1e-9), "b": run(seed=2, rounds=5)}
    inline, mixed = execute(runs, images, 1), execute(runs, images, 2)
    assert equal(inline["a"], mixed["a"])
    assert equal(inline["b"], mixed["b"])
    assert len(inline["a"].rounds) < 8
    assert (inline["a"].rounds[-1].accuracy or 0) > 0
    assert len(inline["b"].rounds) == 5


def level(value: float) -> NDArray[np.float32]:
    """Return weights that are all the same."""
    return np.full(len(FlatModel("simple-cnn", "group", 3, 16).vector), value, np.float32)


def test_a_killed_worker_changes_no_bit(images: Data, run: MakeRun) -> None:
    """Each time in another round, of an algorithm whose clients keep something."""
    made = replace(run(rounds=4), algorithm=make("scaffold", {}))
    whole = execute({"a": made}, images, 1)["a"]
    for number in range(1, 4):
        rounds = list[str]()

        def kill(name: str, number: int = number, rounds: list[str] = rounds) -> None:
            rounds.append(name)
            if len(rounds) == number:
                multiprocessing.active_children()[0].kill()

        assert equal(execute({"a": made}, images, 3, kill)["a"], whole)
    assert not multiprocessing.active_children()


def test_workers_that_all_die_end_the_run_with_one_line(images: Data, run: MakeRun) -> None:
    def kill(_: str) -> None:
        for process in multiprocessing.active_children():
            process.kill()

    with pytest.raises(ParameterError, match=r"worker \d died \(exit code -9\); .*: train: if memory"):
        execute({"a": run()}, images, 2, kill)
    assert not multiprocessing.active_children()


def test_too_little_shared_memory_is_one_line() -> None:
    """More than any machine has: only promised, it would end the process at the first write."""
    with pytest.raises(ParameterError, match=r"no shared memory for \d+ MB .*: /dev/shm: give it more"):
        workers._reserved(1 << 45)
    left = [path for path in Path("/dev/shm").glob("psm_*") if path.stat().st_size >= 1 << 45]
    assert left == []
