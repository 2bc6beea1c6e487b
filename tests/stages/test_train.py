from pathlib import Path

import numpy as np
import yaml

from pipeline.federated.simulation import Client
from pipeline.params import TrainParams
from pipeline.stages import train

SHIPPED = Path(__file__).parents[2] / "params.yaml"


def params(local_epochs: int = 1) -> TrainParams:
    """Return the shipped parameters with batches of 10."""
    shipped = yaml.safe_load(SHIPPED.read_text())["train"]
    return TrainParams.model_validate({**shipped, "batch_size": 10, "local_epochs": local_epochs})


def steps(clients: tuple[Client, ...]) -> list[int]:
    return [client.steps for client in clients]


REAL = np.array([25, 8, 0, 40])
SYNTHETIC = np.array([30, 2, 0, 0])
NOTHING = np.zeros(4, np.int64)


def test_without_a_fill_the_second_budget_is_that_of_the_synthetic_one() -> None:
    """Real images alone, 25, 8, 0 and 40 in batches of 10, are 3, 1, 0 and 4 steps.

    With 30, 2, 0 and 0 synthetic ones they are 55, 10, 0 and 40: 6, 1, 0 and 4 steps.
    """
    arms = train.budgets(REAL, NOTHING, SYNTHETIC, params())
    assert list(arms) == ["epochs", "steps"]
    assert steps(arms["epochs"]) == [3, 1, 0, 4]
    assert steps(arms["steps"]) == [6, 1, 0, 4]
    for arm in arms.values():
        assert [client.real for client in arm] == [slice(0, 25), slice(25, 33), slice(33, 33), slice(33, 73)]
        assert [client.size for client in arm] == [25, 8, 0, 40]


def test_the_synthetic_fill_is_its_own_measure() -> None:
    arms = train.budgets(REAL, SYNTHETIC, SYNTHETIC, params())
    assert list(arms) == ["both"]
    assert steps(arms["both"]) == [6, 1, 0, 4]
    assert [client.extra for client in arms["both"]] == [slice(0, 30), slice(30, 32), slice(32, 32), slice(32, 32)]


def test_a_smaller_fill_takes_as_many_steps_and_passes_count() -> None:
    """12, 2, 0 and 0 transformed images make 37, 10, 0 and 40: 4, 1, 0 and 4 steps a pass, and all twice."""
    arms = train.budgets(REAL, np.array([12, 2, 0, 0]), SYNTHETIC, params(local_epochs=2))
    assert steps(arms["epochs"]) == [8, 2, 0, 8]
    assert steps(arms["steps"]) == [12, 2, 0, 8]


def test_a_client_that_has_only_synthetic_images_rests_without_them() -> None:
    """Client 2 has no real image and 15 synthetic ones: 2 steps with them, none without."""
    synthetic = np.array([30, 2, 15, 0])
    assert steps(train.budgets(REAL, NOTHING, synthetic, params())["steps"]) == [6, 1, 0, 4]
    assert steps(train.budgets(REAL, synthetic, synthetic, params())["both"]) == [6, 1, 2, 4]


def test_equal_numbers_of_steps_are_one_run_though_the_images_differ() -> None:
    """8 real images are one step, and so are they with 2 synthetic ones more."""
    arms = train.budgets(np.array([8]), np.array([0]), np.array([2]), params())
    assert list(arms) == ["both"]
    assert [client.size for client in arms["both"]] == [8]
