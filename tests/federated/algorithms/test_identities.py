"""What must be the same run by another name, bit for bit or to rounding, through the whole simulation."""

import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from pipeline.errors import ParameterError
from pipeline.federated import algorithms, workers
from pipeline.federated.algorithm import Algorithm
from pipeline.federated.inputs import Inputs
from pipeline.federated.simulation import Client, Run, RunState, begin, simulate

MakeRun = Callable[..., Run]
NAMES = ("fedavg", "fedprox", "scaffold", "fednova", "fedavgm", "fedadam", "moon", "fedrs")


def play(run: Run, inputs: Inputs, count: int = 1) -> RunState:
    spill = inputs.test.path.parent
    return workers.execute({"run": simulate(run, begin(run))}, run, inputs, count, spill)["run"]


def of(run: Run, name: str, **options: Any) -> Run:
    return replace(run, algorithm=algorithms.make(name, options))


@pytest.mark.parametrize(
    ("name", "options"),
    [("fedprox", {"mu": 0.0}), ("fedavgm", {"momentum": 0.0}), ("moon", {"mu": 0.0}), ("fedrs", {"alpha": 1.0})],
)
def test_fedavg_by_another_name_bit_for_bit(
    run: MakeRun, inputs: Inputs, name: str, options: Mapping[str, float]
) -> None:
    assert np.array_equal(play(of(run(), name, **options), inputs).weights, play(run(), inputs).weights)


@pytest.mark.parametrize("name", ["scaffold", "moon"])
def test_the_first_round_is_fedavgs_and_the_next_is_not(run: MakeRun, inputs: Inputs, name: str) -> None:
    one, two = run(rounds=1), run(rounds=2)
    assert np.array_equal(play(of(one, name), inputs).weights, play(one, inputs).weights)
    assert not np.array_equal(play(of(two, name), inputs).weights, play(two, inputs).weights)


def test_fednova_with_equal_steps_is_fedavg(run: MakeRun, inputs: Inputs) -> None:
    equal = run(clients=[Client(16, 12), Client(10, 12)])
    expected = play(equal, inputs).weights
    assert play(of(equal, "fednova"), inputs).weights == pytest.approx(expected, abs=1e-6)
    assert not np.allclose(play(of(run(), "fednova"), inputs).weights, play(run(), inputs).weights, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_two_processes_give_the_bits_of_one(run: MakeRun, inputs: Inputs, name: str) -> None:
    made = of(run(clients_per_round=2, rounds=4), name)
    inline, mixed = play(made, inputs), play(made, inputs, 2)
    assert inline.rounds == mixed.rounds
    assert inline.state.keys() == mixed.state.keys()
    assert all(np.array_equal(inline.state[key], mixed.state[key]) for key in inline.state)


@pytest.mark.parametrize(
    ("name", "down", "up"),
    [
        ("fedavg", 1, 1),
        ("fedprox", 1, 1),
        ("scaffold", 2, 2),
        ("fedavgm", 1, 1),
        ("fedadam", 1, 1),
        ("moon", 1, 1),
        ("fedrs", 1, 1),
    ],
)
def test_bytes_are_those_of_what_is_sent(run: MakeRun, inputs: Inputs, name: str, down: int, up: int) -> None:
    ended = play(of(run(rounds=2), name), inputs)
    model = 3 * ended.weights.nbytes
    assert [(done.bytes_down, done.bytes_up) for done in ended.rounds] == [(down * model, up * model)] * 2


def test_fednova_sends_one_number_more(run: MakeRun, inputs: Inputs) -> None:
    ended = play(of(run(rounds=1), "fednova"), inputs)
    assert ended.rounds[0].bytes_up == 3 * (ended.weights.nbytes + 4)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("fedprox", {"mew": 1.0}, "unknown hyper-parameter 'mew': .*train.options.fedprox: it takes mu"),
        ("fedprox", {"mu": -1.0}, r"bad value: .*train.options.fedprox.mu = -1.0: .*greater than or equal to 0"),
        ("fedavgm", {"momentum": 1.0}, "bad value: .*momentum = 1.0: .*less than 1"),
        ("fedavg", {"mu": 1.0}, "it takes none"),
    ],
)
def test_hyper_parameters_are_checked(name: str, options: Mapping[str, float], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        algorithms.make(name, options)


def test_every_algorithm_is_known_by_its_file() -> None:
    assert algorithms.names() == tuple(sorted(NAMES))
    assert [type(algorithms.make(name, {})).__name__.lower() for name in NAMES] == list(NAMES)


def test_an_unknown_algorithm_is_refused_with_the_nearest_name() -> None:
    algorithms.check(NAMES, "params.yaml, train.algorithms")
    known = "one of fedadam, fedavg, fedavgm, fednova, fedprox, fedrs, moon, scaffold"
    for name, nearest in (("fedproxx", "; did you mean 'fedprox'?"), ("x", ""), ("__init__", ""), ("", "")):
        with pytest.raises(ParameterError) as caught:
            algorithms.check(["moon", name], "--algorithm")
        assert str(caught.value) == f"unknown algorithm {name!r}: --algorithm: {known}{nearest}"
    with pytest.raises(ParameterError, match=r"unknown algorithm 'os\.path': params\.yaml, train\.algorithms: one of"):
        algorithms.make("os.path", {})


def test_the_names_are_known_without_torch() -> None:
    program = (
        "import sys; from pipeline.federated import algorithms; algorithms.check(['moon'], '');"
        "print(*algorithms.names()); assert not {'torch', 'numpy'} & sys.modules.keys()"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.stdout.split(), done.stderr) == (sorted(NAMES), "")


def test_an_algorithm_says_how_it_aggregates() -> None:
    """The interface has no aggregation of its own, so it is no algorithm."""
    with pytest.raises(TypeError, match=r"abstract method '?aggregate"):
        Algorithm()  # type: ignore[abstract]
