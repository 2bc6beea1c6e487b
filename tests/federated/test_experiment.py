import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file

from pipeline import seeds
from pipeline.artifacts import history
from pipeline.errors import ParameterError
from pipeline.federated import experiment, workers
from pipeline.federated.algorithms.fedprox import FedProx
from pipeline.federated.algorithms.scaffold import Scaffold
from pipeline.federated.experiment import Crew
from pipeline.federated.local import Hyper
from pipeline.federated.models import FlatModel, make
from pipeline.federated.simulation import Client, Progress, Round, Run, Schedule, begin, simulate
from pipeline.federated.workers import Data
from pipeline.params import TrainParams

SHIPPED = Path(__file__).parents[2] / "params.yaml"
MakeRun = Callable[..., Run]


def params(**others: object) -> TrainParams:
    """Return the shipped parameters but for what a number below hangs on."""
    shipped = yaml.safe_load(SHIPPED.read_text())["train"]
    small = {"seeds": [1, 4], "rounds": 2, "local_epochs": 1, "batch_size": 6, "learning_rate": 0.05, "eval_every": 1}
    return TrainParams.model_validate({**shipped, **small, **others})


def test_steps_by_hand() -> None:
    """0, 1, 6, 7 and 13 images in batches of 6 are 0, 1, 1, 2 and 3 steps a pass, twice that for two passes."""
    sizes = np.array([0, 1, 6, 7, 13])
    assert experiment.steps_of(sizes, params()).tolist() == [0, 1, 1, 2, 3]
    assert experiment.steps_of(sizes, params(local_epochs=2)).tolist() == [0, 2, 2, 4, 6]


def test_local_steps_stand_in_place_of_passes() -> None:
    """Every client takes as many, whatever it has and however many passes there would be, but one without images."""
    sizes = np.array([0, 1, 6, 7, 13])
    assert experiment.steps_of(sizes, params(local_steps=5, local_epochs=2)).tolist() == [0, 5, 5, 5, 5]


@pytest.mark.parametrize(
    ("given", "count", "drawn"), [(0.1, 20, 2), (0.5, 3, 2), (0.26, 10, 3), (0.01, 5, 1), (4, 20, 4), (None, 20, None)]
)
def test_clients_of_a_round_are_a_number_or_a_share(
    images: Data, given: float | None, count: int, drawn: int | None
) -> None:
    """A tenth of 20 is 2; half of 3 and 26 % of 10 are rounded to 2 and 3; one client at least."""
    each = np.ones(count, np.int64)
    clients = experiment.clients(each, each * 0, each)
    made = experiment.run_of(clients, "fedavg", images, 3, params(clients_per_round=given), 1)
    assert made.clients_per_round == drawn


def test_parameters_reach_the_run(images: Data) -> None:
    """The nine test images are three of each class, and a fourth class has none."""
    clients = experiment.clients(np.array([10, 20]), np.array([0, 0]), np.array([2, 4]))
    settings = params(
        options={"fedprox": {"mu": 0.5}, "fedavgm": {"momentum": 0.5}},
        model="resnet20",
        norm="batch",
        momentum=0.5,
        weight_decay=0.01,
        clip_norm=3.0,
        augment=True,
        schedule="exponential",
        decay=0.75,
        eval_every=2,
        stop_at=0.5,
        clients_per_round=1,
    )
    assert experiment.run_of(clients, "fedprox", images, 4, settings, 11) == Run(
        clients=clients,
        algorithm=FedProx(mu=0.5),
        model="resnet20",
        norm="batch",
        image_size=16,
        tests=(3, 3, 3, 0),
        hyper=Hyper(6, 0.5, 0.01, clip_norm=3.0, augment=True),
        schedule=Schedule(0.05, "exponential", 0.75),
        rounds=2,
        clients_per_round=1,
        eval_every=2,
        stop_at=0.5,
        seed=11,
    )


def test_clients_lie_one_after_another() -> None:
    made = experiment.clients(np.array([3, 0, 2]), np.array([0, 4, 1]), np.array([1, 2, 3]))
    assert made == (
        Client(slice(0, 3), slice(0, 0), 1),
        Client(slice(3, 3), slice(0, 4), 2),
        Client(slice(3, 5), slice(4, 5), 3),
    )
    assert [client.size for client in made] == [3, 4, 3]


def test_every_arm_runs_once_for_each_seed(images: Data, capsys: pytest.CaptureFixture[str]) -> None:
    """Runs of one seed start from the same weights in both arms; the parameters reach the run."""
    arms = {
        "epochs": experiment.clients(np.array([10, 20]), np.array([0, 0]), np.array([2, 4])),
        "steps": experiment.clients(np.array([10, 20]), np.array([0, 0]), np.array([3, 4])),
    }
    settings = params(momentum=0.5, weight_decay=0.01)
    with experiment.executed("train none", arms, "fedavg", images, 3, settings, 9, Crew(1)) as outcomes:
        pass
    assert list(outcomes) == [("epochs", 1), ("epochs", 4), ("steps", 1), ("steps", 4)]
    assert len({outcome.weights.tobytes() for outcome in outcomes.values()}) == 4
    assert [[done.steps for done in outcome.rounds] for outcome in outcomes.values()] == [[6, 6]] * 2 + [[7, 7]] * 2
    expected = experiment.run_of(arms["steps"], "fedavg", images, 3, settings, seeds.derive(9, "train", 4))
    alone = workers.execute({"x": simulate(expected, begin(expected))}, expected, images, 1)["x"]
    assert np.array_equal(outcomes["steps", 4].weights, alone.weights)
    assert "train none: 8/8 rounds" in capsys.readouterr().err
    ends = json.loads(Path("data/timings/runs/train-none.json").read_text())
    assert list(ends) == [f"train none {arm}, seed {seed}" for arm in arms for seed in (1, 4)]
    assert 0 <= ends["train none epochs, seed 1"] <= ends["train none steps, seed 4"] < 60


def test_a_run_that_reaches_its_target_counts_as_done(images: Data, capsys: pytest.CaptureFixture[str]) -> None:
    """Any accuracy above nought is at least 0.0001, so the first tested round that is right once ends the run."""
    arms = {"both": experiment.clients(np.array([10, 20]), np.array([0, 0]), np.array([2, 4]))}
    settings = params(rounds=40, stop_at=0.0001)
    with experiment.executed("train none", arms, "fedavg", images, 3, settings, 9, Crew(2)) as outcomes:
        pass
    assert all(len(outcome.rounds) < 40 for outcome in outcomes.values())
    assert "train none: 80/80 rounds" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("schedule", "decay", "rounds", "refused"),
    [
        ("exponential", 1e-20, 3, False),  # 0.05 x 1e-40 is a float32
        ("exponential", 1e-23, 3, True),  # 0.05 x 1e-46 is none
        ("exponential", 0.5, 2_000, True),
        ("constant", 1e-23, 3, False),
        ("cosine", 1e-23, 2_000, False),
    ],
)
def test_a_rate_that_falls_to_nought_is_refused_where_it_divides(
    images: Data, schedule: str, decay: float, rounds: int, refused: bool
) -> None:
    clients = experiment.clients(np.array([10, 20]), np.array([0, 0]), np.array([2, 4]))
    settings = params(schedule=schedule, decay=decay, rounds=rounds)
    assert experiment.run_of(clients, "fedavg", images, 3, settings, 1).rounds == rounds
    if not refused:
        assert experiment.run_of(clients, "scaffold", images, 3, settings, 1).rounds == rounds
        return
    with pytest.raises(ParameterError, match=rf"falls to 0 by round {rounds}, and scaffold divides by it: .*decay"):
        experiment.run_of(clients, "scaffold", images, 3, settings, 1)


def test_the_smallest_rate_that_scaffold_takes_gives_numbers(images: Data, run: MakeRun) -> None:
    made = replace(run(), algorithm=Scaffold(), schedule=Schedule(0.05, "exponential", 1e-20))
    ended = workers.execute({"x": simulate(made, begin(made))}, made, images, 1)["x"]
    assert all(np.isfinite(vector).all() for vector in ended.state.values())


@pytest.mark.parametrize("workers", [1, 2])
def test_a_run_that_diverges_is_told_of_once(images: Data, capsys: pytest.CaptureFixture[str], workers: int) -> None:
    """Steps of rate 1e30 leave no number after the first round, which nobody tests."""
    arms = {"both": experiment.clients(np.array([10, 20]), np.array([0, 0]), np.array([2, 4]))}
    for rate in (0.05, 1e30):
        settings = params(rounds=4, eval_every=2, learning_rate=rate)
        with experiment.executed("train none", arms, "fedavg", images, 3, settings, 9, Crew(workers)):
            pass
        said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning: ")]
        expected = [
            f"warning: loss or weights are no finite numbers: train none both, seed {seed}, round 1: "
            "lower train.learning_rate, or set train.clip_norm"
            for seed in (1, 4)
        ]
        assert sorted(said) == (expected if rate == 1e30 else [])


def test_the_round_that_diverged_is_found_by_loss_or_weights() -> None:
    good, bad = np.ones(3, np.float32), np.array([1, np.inf, 1], np.float32)
    rounds = [Round(1, 2, 3, 4, 5, 0.5, 2.0), Round(2, 2, 3, 4, 5), Round(3, 2, 3, 4, 5)]
    assert experiment.first_infinite(Progress({"weights": good})) is None
    assert experiment.first_infinite(Progress({"weights": good}, {}, rounds)) is None
    assert experiment.first_infinite(Progress({"weights": bad}, {}, rounds)) == 3
    rounds[1].loss = float("nan")
    assert experiment.first_infinite(Progress({"weights": good}, {}, rounds)) == 2


def test_rows_are_rounded_to_six_digits() -> None:
    tested = Round(2, 30, 6, 40, 50, 0.12345678, 2.00000049, (1 / 3, None, 1.0))
    outcome = Progress({}, {}, [Round(1, 30, 6, 40, 50), tested])
    first, second = experiment.rows(outcome, "none", "fedavg", "both", 4)
    assert first == history.Round("none", "fedavg", "both", 4, 1, None, None, 30, 6, 40, 50)
    assert (second.accuracy, second.loss, second.round) == (0.123457, 2.0, 2)
    assert second.by_class == (0.333333, None, 1.0)


def test_history_and_metrics_are_saved(tmp_path: Path) -> None:
    outcome = Progress({}, {}, [Round(1, 30, 6, 40, 50, 0.25, 2.0, (0.5, 0.0))])
    rows = experiment.rows(outcome, "none", "fedavg", "both", 4)
    experiment.save(tmp_path / "run", rows)
    assert history.load(tmp_path / "run" / "history.csv", "train") == [replace(rows[0], by_class=None)]
    metrics = (tmp_path / "run" / "metrics.json").read_text()
    assert '"seed 4": 0.25' in metrics
    assert "client_accuracy" not in metrics
    experiment.save(tmp_path / "run", rows, np.array([[1, 0], [0, 1]]))
    assert "client_accuracy" in (tmp_path / "run" / "metrics.json").read_text()


@pytest.mark.parametrize(("name", "norm"), [("simple-cnn", "group"), ("resnet20", "group"), ("resnet20", "batch")])
def test_saved_weights_load_into_an_ordinary_module(tmp_path: Path, name: str, norm: str) -> None:
    """With the averages of batch normalisation; and saving them again gives equal bytes."""
    flat = FlatModel(name, norm, 3, 16, seed=6)
    images = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    flat.module(images)  # moves averages
    for file in ("a", "b"):
        experiment.save_weights(tmp_path / file, flat.vector.numpy(), params(model=name, norm=norm), 3, 16)
    module = make(name, norm, 3, 16)
    module.load_state_dict(load_file(tmp_path / "a"))
    with torch.no_grad():
        expected = flat.module.eval()(images)
        torch.testing.assert_close(module.eval()(images), expected, rtol=1e-4, atol=1e-5)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
