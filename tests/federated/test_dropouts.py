"""Updates that do not arrive."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.artifacts.dropouts import Dropout
from pipeline.errors import ParameterError
from pipeline.federated import algorithms, runs
from pipeline.federated import inputs as federated
from pipeline.federated.algorithm import WEIGHTS, Update
from pipeline.federated.checkpoints import Checkpoint
from pipeline.federated.dropouts import Recorded
from pipeline.federated.inputs import Inputs
from pipeline.federated.simulation import (
    Client,
    EvalTask,
    Result,
    Run,
    RunState,
    Score,
    TrainTask,
    begin,
    choose,
    simulate,
)
from pipeline.federated.worker import Worker
from tests.federated.playing import Interrupted, play

MakeRun = Callable[..., Run]
TWO = (Client(16, 12), Client(10, 16))
"""In batches of 6 they take 2 and 3 steps."""
OPTIONS: dict[str, dict[str, float]] = {
    "fedadam": {"learning_rate": 0.1, "tau": 0.5}, "fedavgm": {"momentum": 0.5}
}  # fmt: skip


def follow(run: Run, answer: Callable[[TrainTask], Update]) -> tuple[RunState, list[RunState]]:
    """Carry a run out by a rule; return its end, and its state after each round."""
    at = begin(run)
    seen: list[RunState] = []

    def on_round(now: RunState) -> None:
        seen.append(RunState(dict(now.state), dict(now.client_states)))

    execution = simulate(run, at, on_round)
    tasks = next(execution)
    try:
        while True:
            results: list[Result] = [
                Score((0, 0, 0), 1.0) if isinstance(task, EvalTask) else answer(task) for task in tasks
            ]
            tasks = execution.send(results)
    except StopIteration:
        return at, seen


def test_two_clients_by_hand(run: MakeRun) -> None:
    """Of 16 and 10 images, they add 2 and 3 to every weight.

    Round 1 without the second: 2. Round 2 with both: (16 x 2 + 10 x 3) / 26 = 62 / 26. Round 3 without either: 0. Round
    4 without the first: 3. The second works for nothing in round 1: 16 images in 3 steps, received and not sent.
    """
    made = replace(run(TWO, rounds=4), dropouts=((1, 1), (3, 0), (3, 1), (4, 0)))
    asked: list[tuple[int, float]] = []

    def answer(task: TrainTask) -> Update:
        steps = -(-task.samples // 6)
        asked.append((task.client, float(task.broadcast[WEIGHTS][0])))
        return Update({WEIGHTS: task.broadcast[WEIGHTS] + np.float32(steps)}, {}, task.weight, steps, task.samples)

    start = float(begin(made).weights[0])
    end, seen = follow(made, answer)
    moved = [float(one.weights[0]) - start for one in seen]
    assert moved == pytest.approx([2, 2 + 62 / 26, 2 + 62 / 26, 5 + 62 / 26], abs=1e-5)
    assert [client for client, _ in asked] == [0, 0, 1, 1]
    size = end.weights.nbytes
    first, _, third, _ = end.rounds
    assert [(one.client, one.samples, one.steps, one.bytes_down, one.bytes_up) for one in first.participants] == [
        (0, 12, 2, size, size),
        (1, 16, 3, size, 0),
    ]
    assert [[one.dropped for one in done.participants] for done in end.rounds] == [
        [False, True], [False, False], [True, True], [True, False],
    ]  # fmt: skip
    assert (third.bytes_down, third.bytes_up, third.accuracy) == (2 * size, 0, 0.0)


def test_the_servers_momentum_counts_only_what_arrives(run: MakeRun) -> None:
    """FedAvgM with a momentum of 0.5, two clients that add 2 and 3.

    Round 1 without the second moves by 2. Round 2 without either is no step. Round 3 without the first: the momentum is
    0.5 x 2 + 3 = 4.
    """
    made = replace(run(TWO, rounds=3), algorithm=algorithms.make("fedavgm", {"momentum": 0.5, "learning_rate": 1.0}))
    made = replace(made, dropouts=((1, 1), (2, 0), (2, 1), (3, 0)))

    def answer(task: TrainTask) -> Update:
        up = {WEIGHTS: task.broadcast[WEIGHTS] + np.float32(2 + task.client)}
        return Update(up, {}, task.weight, 1, task.samples)

    start = float(begin(made).weights[0])
    _, seen = follow(made, answer)
    assert [float(one.weights[0]) - start for one in seen] == pytest.approx([2, 2, 6], abs=1e-5)


def test_a_control_that_does_not_arrive_is_not_kept(run: MakeRun, inputs: Inputs) -> None:
    """SCAFFOLD's server has the sum of p_i c_i in every round, with p of 16 and 10 of 26 images.

    So a client whose change of its control is lost goes on from the control that the server knows.
    """
    made = replace(run(TWO, rounds=4), algorithm=algorithms.make("scaffold", {}), dropouts=((1, 1), (3, 0)))
    worker = Worker(inputs, made)

    def answer(task: TrainTask) -> Update:
        found = worker.carry_out(task)
        assert isinstance(found, Update)
        return found

    _, seen = follow(made, answer)
    assert [sorted(one.client_states) for one in seen] == [[0], [0, 1], [0, 1], [0, 1]]
    for one in seen:
        kept = {i: state["control"].astype(np.float64) for i, state in one.client_states.items()}
        together = sum((client.weight / 26) * kept[i] for i, client in enumerate(TWO) if i in kept)
        np.testing.assert_allclose(one.state["control"], together, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(seen[1].client_states[0]["control"], seen[2].client_states[0]["control"])
    assert not np.array_equal(seen[2].client_states[0]["control"], seen[3].client_states[0]["control"])


def test_moon_compares_with_the_last_model_that_arrived(run: MakeRun) -> None:
    """The second client's models are its weights after rounds 1 and 3; that of round 2 is lost."""
    made = replace(run(TWO, rounds=3), algorithm=algorithms.make("moon", {}), dropouts=((2, 1),))
    given: list[tuple[int, list[float]]] = []

    def answer(task: TrainTask) -> Update:
        given.append((task.client, [float(own[0]) for own in task.client_state.values()]))
        up = {WEIGHTS: np.full_like(task.broadcast[WEIGHTS], len(given))}
        return Update(up, up, task.weight, 1, task.samples)

    follow(made, answer)
    assert given == [(0, []), (1, []), (0, [1.0]), (0, [3.0]), (1, [2.0])]


@pytest.mark.parametrize("name", algorithms.names())
def test_a_round_in_which_all_drop_out_changes_nothing(run: MakeRun, inputs: Inputs, name: str) -> None:
    """Real training: rounds 2 and 3 leave the weights of round 1, and are counted, tested and sent."""
    made = replace(run(TWO, rounds=3), algorithm=algorithms.make(name, OPTIONS.get(name, {})), last_rounds=3)
    lost = tuple((number, client) for number in (2, 3) for client in (0, 1))
    once, end = play(replace(made, rounds=1, last_rounds=1), inputs), play(replace(made, dropouts=lost), inputs)
    np.testing.assert_array_equal(end.weights, once.weights)
    assert [done.bytes_up > 0 for done in end.rounds] == [True, False, False]
    assert len({done.bytes_down for done in end.rounds}) == 1
    assert len({done.accuracy for done in end.rounds}) == 1


@pytest.mark.parametrize("name", algorithms.names())
def test_who_never_arrives_might_as_well_not_be_there(run: MakeRun, inputs: Inputs, name: str) -> None:
    """The weights are those of a federation in which it has nothing to train on.

    But SCAFFOLD's control is an average over all clients, 16 / 26 of what it is then; it corrects from round 2 on.
    """
    rounds = 1 if name == "scaffold" else 2
    made = replace(run(TWO, rounds=rounds), algorithm=algorithms.make(name, OPTIONS.get(name, {})))
    lost = play(replace(made, dropouts=((1, 1), (2, 1))[:rounds]), inputs)
    expected = play(replace(made, clients=(TWO[0], Client(0, 16))), inputs)
    np.testing.assert_array_equal(lost.weights, expected.weights)
    if name == "scaffold":
        np.testing.assert_allclose(lost.state["control"], expected.state["control"] * 16 / 26, rtol=1e-5)


def test_the_identity_of_a_run_without_any_is_as_before_there_were_any(run: MakeRun) -> None:
    """Runs that were stored then are found; others are told apart by who drops out when."""
    made = run()
    identity = json.dumps([runs.VERSION, torch.__version__, "cuda" if torch.cuda.is_available() else "cpu", repr(made)])
    assert "dropouts" not in identity
    assert runs.digest(made) == hashlib.sha256(identity.encode()).hexdigest()[:24]
    lost = [((1, 1),), ((2, 1),), ((1, 2),), ((1, 1), (2, 1))]
    assert len({runs.digest(replace(made, dropouts=one)) for one in [(), *lost]}) == 5


def recorded(*lost: Dropout) -> Recorded:
    return Recorded(Path("lost.csv"), lost)


ARM = ("none", "fedavg", "epochs", 7)


def test_only_drop_outs_that_change_a_run_are_part_of_it(run: MakeRun) -> None:
    """Once each, in order; not those of other runs, of clients that are not drawn, and of rounds that it has not."""
    made = run(clients_per_round=2, rounds=2)
    drawn = {number: choose(made, number) for number in (1, 2)}
    spared = {number: ({0, 1, 2} - set(chosen)).pop() for number, chosen in drawn.items()}
    (early, late), sits_out = (drawn[2][0], drawn[1][1]), spared[1]
    found = recorded(
        Dropout(7, 2, early),
        Dropout(7, 1, late, "none", "fedavg"),
        Dropout(7, 1, late),
        Dropout(7, 1, sits_out),
        Dropout(7, 3, 0),
        Dropout(8, 1, drawn[1][0]),
        *(Dropout(7, 1, drawn[1][0], *names) for names in (("iid",), (None, "fedprox"), (None, None, "steps"))),
    ).put_into(made, *ARM)
    assert found.dropouts == ((1, late), (2, early))
    assert recorded(Dropout(7, 1, sits_out)).put_into(made, *ARM) == made
    assert recorded(Dropout(7, 1, late)).put_into(federated.alone(made), *ARM) == federated.alone(made)
    assert federated.alone(found) == federated.alone(made)


def test_a_client_that_there_is_not_is_refused(run: MakeRun) -> None:
    with pytest.raises(ParameterError, match=r"names client 3, but there are clients 0 to 2: lost\.csv: record"):
        recorded(Dropout(7, 1, 3)).put_into(run(), *ARM)


def test_what_they_change_is_said(run: MakeRun, capsys: pytest.CaptureFixture[str]) -> None:
    file = recorded(Dropout(7, 1, 0), Dropout(7, 2, 1), Dropout(7, 9, 1))
    made: dict[tuple[str, int], Run] = {
        ("epochs", seed): file.put_into(run(), "none", "fedavg", "epochs", seed) for seed in (7, 8)
    }
    file.say("train none fedavg", made, "none", "fedavg")
    assert capsys.readouterr().err == (
        "train none fedavg: 2 updates do not arrive in 1 of 2 runs (lost.csv); "
        "1 drop-outs are of clients that do not take part; none in: epochs, seed 8\n"
    )
    file.say("train none fedavg alone", {("epochs", 7): federated.alone(run())}, "none", "fedavg")
    assert capsys.readouterr().err == ""


def test_an_interrupted_run_with_drop_outs_ends_the_same(run: MakeRun, inputs: Inputs, tmp_path: Path) -> None:
    made = replace(run(TWO, rounds=3), algorithm=algorithms.make("scaffold", {}), dropouts=((1, 0), (3, 1)))
    kept = Checkpoint(tmp_path, "a run", made, 1)
    with pytest.raises(Interrupted):
        play(made, inputs, kept, until=2)
    whole, resumed = play(made, inputs), play(made, inputs, kept)
    np.testing.assert_array_equal(whole.weights, resumed.weights)
    assert repr(whole.rounds) == repr(resumed.rounds)
