from pathlib import Path

import numpy as np
import yaml

from pipeline.fills.common import steps
from pipeline.params import TrainParams

SHIPPED = Path(__file__).parents[2] / "params.yaml"


def params(**others: object) -> TrainParams:
    """Return the shipped parameters but for what a number below depends on."""
    shipped = yaml.safe_load(SHIPPED.read_text())["train"]
    return TrainParams.model_validate({**shipped, "local_epochs": 1, "batch_size": 6, **others})


def test_steps_by_hand() -> None:
    """0, 1, 6, 7 and 13 images in batches of 6 are 0, 1, 1, 2 and 3 steps a pass, twice that for two passes."""
    sizes = np.array([0, 1, 6, 7, 13])
    assert steps.steps_of(sizes, params()).tolist() == [0, 1, 1, 2, 3]
    assert steps.steps_of(sizes, params(local_epochs=2)).tolist() == [0, 2, 2, 4, 6]


def test_local_steps_replace_passes() -> None:
    """Every client takes as many, whatever it has and however many passes there would be, but one without images."""
    sizes = np.array([0, 1, 6, 7, 13])
    assert steps.steps_of(sizes, params(local_steps=5, local_epochs=2)).tolist() == [0, 5, 5, 5, 5]


def test_the_second_budget_is_that_of_clients_without_deficits() -> None:
    """Real images alone, 25, 8, 0 and 40 in batches of 10, are 3, 1, 0 and 4 steps.

    With 30, 2, 0 and 0 more they are 55, 10, 0 and 40: 6, 1, 0 and 4 steps.
    """
    held, filled = np.array([25, 8, 0, 40]), np.array([55, 10, 0, 40])
    budgets = steps.by_budget(held, filled, params(batch_size=10))
    assert {name: taken.tolist() for name, taken in budgets.items()} == {"epochs": [3, 1, 0, 4], "steps": [6, 1, 0, 4]}


def test_a_fill_of_all_deficits_takes_equal_steps_under_both() -> None:
    filled = np.array([55, 10, 15, 40])
    budgets = steps.by_budget(filled, filled, params(batch_size=10))
    assert budgets["epochs"].tolist() == budgets["steps"].tolist() == [6, 1, 2, 4]


def test_a_smaller_fill_takes_as_many_steps_and_passes_count() -> None:
    """37, 10, 0 and 40 images are 4, 1, 0 and 4 steps a pass, and all twice."""
    held, filled = np.array([37, 10, 0, 40]), np.array([55, 10, 0, 40])
    budgets = steps.by_budget(held, filled, params(batch_size=10, local_epochs=2))
    assert budgets["epochs"].tolist() == [8, 2, 0, 8]
    assert budgets["steps"].tolist() == [12, 2, 0, 8]


def test_a_client_without_images_takes_no_step() -> None:
    """Client 2 has no real image and lacks 15: 2 steps with them, none without."""
    held, filled = np.array([25, 0, 0, 40]), np.array([55, 0, 15, 40])
    assert steps.by_budget(held, filled, params(batch_size=10))["steps"].tolist() == [6, 0, 0, 4]
