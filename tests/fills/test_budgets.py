from pathlib import Path

import numpy as np
import yaml

from pipeline.fills.common import budgets
from pipeline.params import TrainParams

SHIPPED = Path(__file__).parents[2] / "params.yaml"


def params(**others: object) -> TrainParams:
    """Return the shipped parameters but for what a number below depends on."""
    shipped = yaml.safe_load(SHIPPED.read_text())["train"]
    return TrainParams.model_validate({**shipped, "local_epochs": 1, "batch_size": 6, **others})


def test_passes_are_samples() -> None:
    """One pass is as many samples as there are images, whatever the batch size, and two passes are twice as many."""
    sizes = np.array([0, 1, 6, 7, 13])
    assert budgets.samples_of(sizes, params()).tolist() == [0, 1, 6, 7, 13]
    assert budgets.samples_of(sizes, params(local_epochs=2)).tolist() == [0, 2, 12, 14, 26]


def test_local_steps_replace_passes() -> None:
    """Five full batches of 6 are 30 samples, whatever a client has and however many passes there would be."""
    sizes = np.array([0, 1, 6, 7, 13])
    assert budgets.samples_of(sizes, params(local_steps=5, local_epochs=2)).tolist() == [0, 30, 30, 30, 30]


def test_the_second_budget_is_that_of_clients_without_deficits() -> None:
    """Real images alone are 25, 8, 0 and 40; with 30, 2, 0 and 0 more they are 55, 10, 0 and 40."""
    found = budgets.by_budget(np.array([25, 8, 0, 40]), np.array([55, 10, 0, 40]), params())
    assert {name: samples.tolist() for name, samples in found.items()} == {
        "epochs": [25, 8, 0, 40],
        "steps": [55, 10, 0, 40],
    }


def test_a_smaller_fill_trains_on_as_many_samples_and_passes_count() -> None:
    """The sum over clients is the same for a fill of 37, 10, 0, 40 images as for one that fills every deficit."""
    filled, twice = np.array([55, 10, 0, 40]), params(local_epochs=2)
    found = budgets.by_budget(np.array([37, 10, 0, 40]), filled, twice)
    assert found["epochs"].tolist() == [74, 20, 0, 80]
    assert found["steps"].tolist() == [110, 20, 0, 80]
    whole = budgets.by_budget(filled, filled, twice)
    assert whole["epochs"].tolist() == whole["steps"].tolist() == found["steps"].tolist()


def test_a_client_without_images_trains_on_none() -> None:
    """Client 2 has no real image and lacks 15."""
    held, filled = np.array([25, 0, 0, 40]), np.array([55, 0, 15, 40])
    assert budgets.by_budget(held, filled, params())["steps"].tolist() == [55, 0, 0, 40]
