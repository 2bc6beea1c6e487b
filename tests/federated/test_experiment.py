from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file

from pipeline import seeds
from pipeline.artifacts import history
from pipeline.federated import experiment, workers
from pipeline.federated.local import Hyper
from pipeline.federated.models import MODELS, FlatModel
from pipeline.federated.simulation import Client, Outcome, Round, Run
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
    outcomes = experiment.execute("train none", arms, images, 3, settings, 9, 1)
    assert list(outcomes) == [("epochs", 1), ("epochs", 4), ("steps", 1), ("steps", 4)]
    assert len({outcome.weights.tobytes() for outcome in outcomes.values()}) == 4
    assert [[done.steps for done in outcome.rounds] for outcome in outcomes.values()] == [[6, 6]] * 2 + [[7, 7]] * 2
    hyper = Hyper(batch_size=6, learning_rate=0.05, momentum=0.5, weight_decay=0.01)
    expected = Run(arms["steps"], "simple-cnn", 3, 16, hyper, 2, None, 1, seeds.derive(9, "train", 4))
    alone = workers.execute({"x": expected}, images, 1)["x"]
    assert np.array_equal(outcomes["steps", 4].weights, alone.weights)
    assert "train none: 8/8 rounds" in capsys.readouterr().err


def test_rows_are_rounded_to_six_digits() -> None:
    outcome = Outcome([Round(1, 30, 6, 40, 50), Round(2, 30, 6, 40, 50, 0.12345678, 2.00000049)])
    first, second = experiment.rows(outcome, "none", "fedavg", "both", 4)
    assert first == history.Round("none", "fedavg", "both", 4, 1, None, None, 30, 6, 40, 50)
    assert (second.accuracy, second.loss, second.round) == (0.123457, 2.0, 2)


def test_history_and_metrics_are_saved(tmp_path: Path) -> None:
    outcome = Outcome([Round(1, 30, 6, 40, 50, 0.25, 2.0)])
    rows = experiment.rows(outcome, "none", "fedavg", "both", 4)
    experiment.save(tmp_path / "run", rows)
    assert history.load(tmp_path / "run" / "history.csv", "train") == rows
    assert '"seed 4": 0.25' in (tmp_path / "run" / "metrics.json").read_text()


def test_saved_weights_load_into_an_ordinary_module(tmp_path: Path) -> None:
    """And saving them again gives equal bytes."""
    flat = FlatModel("simple-cnn", 3, 16, seed=6)
    for name in ("a", "b"):
        experiment.save_weights(tmp_path / name, flat.vector.numpy(), params(), 3, 16)
    module = MODELS["simple-cnn"](3, 16)
    module.load_state_dict(load_file(tmp_path / "a"))
    images = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.testing.assert_close(module(images), flat.module(images), rtol=1e-4, atol=1e-5)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
