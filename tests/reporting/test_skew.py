import numpy as np
import pytest

from pipeline.clients.skew import Skew
from pipeline.reporting import skew
from pipeline.reporting.skew import FillSkew

ONE = FillSkew("none", Skew(0.716, 0.763, 0.769, 2.215, 0.576, 0.412), Skew(0.043, 0.051, 0.049, 9.72, 0.008, 0.412))
REAL = np.array([[6, 0, 0], [0, 1, 1]])


def test_one_sentence_says_all_numbers_with_those_of_iid_clients_in_parentheses() -> None:
    """The Gini coefficient is of the sizes, which IID clients share."""
    assert skew.line(ONE) == (
        "skew of labels (in parentheses: IID clients of these sizes): Hellinger 0.72 (0.04), Jensen-Shannon 0.76 "
        "(0.05), total variation 0.77 (0.05), effective classes 2.2 (9.7), missing cells 58 % (1 %), Gini of sizes 0.41"
    )


def test_the_real_images_are_none_and_fills_that_change_nothing_are_left_out() -> None:
    """With 6 images of each class at either client nothing is missing; the numbers have 4 decimals."""
    full = np.full((2, 3), 6)
    found = skew.of_fills(REAL, {"synthetic": full, "none": REAL, "other": REAL}, seed=1)
    assert [one.fill for one in found] == ["none", "synthetic"]
    assert found[0].clients == Skew(0.4513, 0.4637, 0.375, 1.5, 0.5, 0.25)
    assert found[1].clients == Skew(0.0, 0.0, 0.0, 3.0, 0.0, 0.0)


def test_the_real_images_are_there_without_the_fill_none() -> None:
    assert [one.fill for one in skew.of_fills(REAL, {}, seed=1)] == ["none"]


@pytest.mark.parametrize("seed", [1, 2])
def test_equal_seeds_give_equal_floors_to_every_fill(seed: int) -> None:
    assert skew.measure("none", REAL, seed).iid == skew.measure("other", REAL, seed).iid
    assert skew.measure("none", REAL, seed).iid != skew.measure("none", REAL, 3).iid
