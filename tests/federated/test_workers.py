import multiprocessing
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.data import arrays
from pipeline.data.arrays import Stored
from pipeline.errors import ParameterError
from pipeline.federated import broadcasts, workers
from pipeline.federated.algorithm import Update
from pipeline.federated.algorithms import make
from pipeline.federated.algorithms.fedavg import FedAvg
from pipeline.federated.inputs import Inputs
from pipeline.federated.models import FlatModel
from pipeline.federated.simulation import Client, EvalTask, Run, RunState, Score, TrainTask, begin, simulate
from pipeline.federated.worker import Worker

Int64 = NDArray[np.int64]
MakeRun = Callable[..., Run]
MakeStored = Callable[[str, int], Stored]


def execute(
    runs: Mapping[str, Run], inputs: Inputs, count: int, on_round: Callable[[str], None] = lambda _: None
) -> dict[str, RunState]:
    executions = {name: simulate(made, begin(made)) for name, made in runs.items()}
    folder = inputs.test.path.parent
    return workers.execute(executions, next(iter(runs.values())), inputs, count, folder, on_round)


def bits(end: RunState) -> object:
    """Return all that a run ends with, so that it can be compared."""
    own = {
        client: {name: vector.tobytes() for name, vector in kept.items()} for client, kept in end.client_states.items()
    }
    return end.rounds, {name: vector.tobytes() for name, vector in end.state.items()}, own


def equal(one: RunState, other: RunState) -> bool:
    return bits(one) == bits(other)


def test_two_processes_give_the_bits_of_one_inline(inputs: Inputs, run: MakeRun) -> None:
    """Three runs at once; one picks clients, one tests seldom."""
    runs = {"a": run(), "b": run(seed=2, clients_per_round=2, rounds=4), "c": run(seed=3, eval_every=2)}
    inline_rounds, mixed_rounds = list[str](), list[str]()
    inline = execute(runs, inputs, 1, inline_rounds.append)
    mixed = execute(runs, inputs, 2, mixed_rounds.append)
    assert list(inline) == list(mixed) == ["a", "b", "c"]
    for name in runs:
        assert equal(inline[name], mixed[name]), name
    assert Counter(inline_rounds) == Counter(mixed_rounds) == {"a": 3, "b": 4, "c": 3}
    assert not multiprocessing.active_children()


def test_a_run_does_not_depend_on_the_runs_beside_it(inputs: Inputs, run: MakeRun) -> None:
    alone = execute({"b": run(seed=2)}, inputs, 1)["b"]
    beside = execute({"a": run(seed=1), "b": run(seed=2)}, inputs, 1)
    assert equal(alone, beside["b"])
    assert not np.array_equal(beside["a"].weights, beside["b"].weights)


def test_an_error_in_a_process_surfaces(inputs: Inputs, run: MakeRun) -> None:
    """A client whose images have labels that the model does not know."""
    real, extra = inputs.sources
    unknown = replace(real, labels=np.full(30, 7))
    with pytest.raises(RuntimeError, match=r"in worker \d:\n(.|\n)*IndexError: Target 7 is out of bounds"):
        execute({"a": run()}, replace(inputs, sources=(unknown, extra)), 2)
    assert not multiprocessing.active_children()


def test_a_client_trains_on_its_own_stretches(inputs: Inputs, run: MakeRun, stored: MakeStored) -> None:
    """Images outside the client's stretches do not matter; those inside, real or extra, do."""
    made = run()
    held = ((np.arange(3, 9), np.arange(2, 6)),)
    task = TrainTask(0, FedAvg(), {"weights": level(0.01)}, {}, 0.05, 20, 10, 5)

    def weights(real: Int64, extra: Int64) -> bytes:
        sources = (replace(stored("real", 30), labels=real), replace(stored("extra", 12), labels=extra))
        result = Worker(replace(inputs, sources=sources, clients=held), made).carry_out(task)
        assert isinstance(result, Update)
        assert (result.weight, result.steps, result.samples) == (10, 4, 20)  # 6 + 6 + 6 + 2
        return result.up["weights"].tobytes()

    real, extra = np.arange(30) % 3, np.arange(12) % 3
    expected = weights(real, extra)
    other_real, other_extra = (real + 1) % 3, (extra + 1) % 3
    other_real[3:9], other_extra[2:6] = real[3:9], extra[2:6]
    assert weights(other_real, other_extra) == expected
    assert weights((real + 1) % 3, extra) != expected
    assert weights(real, (extra + 1) % 3) != expected


def test_without_a_fill_there_are_only_real_images(inputs: Inputs, run: MakeRun) -> None:
    runs = {"a": run([Client(12, 12), Client(18, 18)])}
    none = np.empty(0, np.int64)
    held = ((np.arange(12), none), (np.arange(12, 30), none))
    alone = replace(inputs, sources=inputs.sources[:1], names=("real",), clients=tuple((rows,) for rows, _ in held))
    assert equal(execute(runs, alone, 1)["a"], execute(runs, replace(inputs, clients=held), 1)["a"])


def test_a_task_starts_from_its_own_weights(inputs: Inputs, run: MakeRun) -> None:
    worker, zeros = Worker(inputs, run()), level(0.0)
    test = EvalTask({"weights": zeros}, slice(0, 9))
    first = worker.carry_out(test)
    worker.carry_out(TrainTask(0, FedAvg(), {"weights": level(0.01)}, {}, 0.05, 12, 16, 1))
    assert worker.carry_out(test) == first
    assert not zeros.any()


def test_a_test_is_of_its_part_of_the_images(inputs: Inputs, run: MakeRun) -> None:
    """All weights zero: label 0 is always guessed, and labels 0, 1 and 2 take turns; every loss is log 3.

    Of images 4 to 8, labels 1, 2, 0, 1 and 2, one is right.
    """
    score = Worker(inputs, run()).carry_out(EvalTask({"weights": level(0.0)}, slice(4, 9)))
    assert isinstance(score, Score)
    assert score.right == (1, 0, 0)
    assert score.loss == pytest.approx(5 * np.log(3), rel=1e-6)


def test_what_clients_keep_and_servers_send_comes_through_processes(inputs: Inputs, run: MakeRun) -> None:
    """Clients of SCAFFOLD and MOON keep something, those of FedAdam do not."""
    runs = {name: replace(run(), algorithm=make(name, {})) for name in ("scaffold", "moon", "fedadam")}
    inline, mixed = execute(runs, inputs, 1), execute(runs, inputs, 2)
    for name in runs:
        assert equal(inline[name], mixed[name]), name
    assert {name: set(end.client_states) for name, end in mixed.items()} == {
        "scaffold": {0, 1, 2},
        "moon": {0, 1, 2},
        "fedadam": set(),
    }


def test_a_round_in_which_nobody_has_an_image_is_over_at_once(inputs: Inputs, run: MakeRun) -> None:
    """One of four clients is drawn each round, and only the second has images: the other rounds change nothing.

    Beside it runs one in which nobody ever has an image, and one that is always tested.
    """
    nobody, none = Client(0, 1), (np.empty(0, np.int64),) * 2
    lone = [nobody, Client(16, 12), nobody, nobody]
    inputs = replace(inputs, clients=(none, inputs.clients[0], none, none))
    runs = {
        "lone": run(lone, rounds=12, clients_per_round=1, eval_every=5),
        "none": run([nobody, nobody], rounds=4, eval_every=9),
        "tested": run(lone, rounds=6, clients_per_round=1, seed=3),
    }
    rounds: dict[int, Counter[str]] = {1: Counter(), 2: Counter()}
    inline, mixed = (execute(runs, inputs, count, lambda name, n=count: rounds[n].update([name])) for count in (1, 2))  # type: ignore[misc]
    for name in runs:
        assert equal(inline[name], mixed[name]), name
    assert rounds[1] == rounds[2] == {"lone": 12, "none": 4, "tested": 6}
    steps = [done.steps for done in inline["lone"].rounds]
    assert set(steps) == {0, 2}
    assert [done.bytes_up == done.bytes_down == 0 for done in inline["lone"].rounds] == [taken == 0 for taken in steps]
    assert np.array_equal(inline["none"].weights, begin(runs["none"]).weights)
    assert [done.accuracy is None for done in inline["none"].rounds] == [True] * 3 + [False]


def test_a_run_that_stops_early_leaves_the_others_to_their_end(inputs: Inputs, run: MakeRun) -> None:
    """Any accuracy is enough for the first; it ends with the round in which it first has one."""
    runs = {"a": replace(run(rounds=8, eval_every=2), stop_at=1e-9), "b": run(seed=2, rounds=5)}
    inline, mixed = execute(runs, inputs, 1), execute(runs, inputs, 2)
    assert equal(inline["a"], mixed["a"])
    assert equal(inline["b"], mixed["b"])
    assert len(inline["a"].rounds) < 8
    assert (inline["a"].rounds[-1].accuracy or 0) > 0
    assert len(inline["b"].rounds) == 5


def level(value: float) -> NDArray[np.float32]:
    """Return weights that are all the same."""
    return np.full(len(FlatModel("simple-cnn", "group", 3, 16).vector), value, np.float32)


def test_a_killed_worker_changes_no_bit(inputs: Inputs, run: MakeRun) -> None:
    """Each time in another round, of an algorithm whose clients keep something."""
    made = replace(run(rounds=4), algorithm=make("scaffold", {}))
    whole = execute({"a": made}, inputs, 1)["a"]
    for number in range(1, 4):
        rounds = list[str]()

        def kill(name: str, number: int = number, rounds: list[str] = rounds) -> None:
            rounds.append(name)
            if len(rounds) == number:
                multiprocessing.active_children()[0].kill()

        assert equal(execute({"a": made}, inputs, 3, kill)["a"], whole)
    assert not multiprocessing.active_children()


def test_workers_that_all_die_end_the_run_with_one_line(inputs: Inputs, run: MakeRun) -> None:
    def kill(_: str) -> None:
        for process in multiprocessing.active_children():
            process.kill()

    with pytest.raises(ParameterError, match=r"worker \d died \(exit code -9\); .*: train: if memory"):
        execute({"a": run()}, inputs, 2, kill)
    assert not multiprocessing.active_children()


def test_too_little_shared_memory_is_one_line() -> None:
    """More than any machine has: only promised, it would end the process at the first write."""
    with pytest.raises(ParameterError, match=r"no shared memory for \d+ MB .*: /dev/shm: give it more"):
        broadcasts._reserved(1 << 45)
    left = [path for path in Path("/dev/shm").glob("psm_*") if path.stat().st_size >= 1 << 45]
    assert left == []


def test_held_out_images_are_tested_where_they_lie(inputs: Inputs, run: MakeRun, tmp_path: Path) -> None:
    """Nine rows of the training images, out of order, score as an array of these images; its file is opened once."""
    real, rows = inputs.sources[0], np.array([29, 4, 11, 3, 20, 7, 0, 15, 2])
    copied = arrays.store(tmp_path, "copy", real.labels[rows], 16, lambda: [real.pixels[rows]])
    made = run()
    weights = {"weights": begin(made).weights}
    scores = []
    for one in (replace(inputs, test=copied), replace(inputs, test=real, test_rows=rows)):
        worker = Worker(one, made)
        scores.append([worker.carry_out(EvalTask(weights, part)) for part in (slice(0, 5), slice(5, 9))])
    assert scores[0] == scores[1]
    assert worker.test_images.data_ptr() == worker.sources[0].data_ptr()
