from dataclasses import astuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray

from pipeline.clients import skew as module
from pipeline.clients.partition import partition
from pipeline.clients.skew import Skew, floor, skew
from pipeline.params import PartitionParams

Int64 = NDArray[np.int64]
SOME = settings(max_examples=40)
Counts = arrays(
    np.int64, array_shapes(min_dims=2, max_dims=2, max_side=6), elements=st.integers(0, 20)
).filter(np.any)  # fmt: skip


def counts(*rows: list[int]) -> Int64:
    return np.array(rows, np.int64)


def rng() -> np.random.Generator:
    return np.random.default_rng(3)


def distances(found: Skew) -> tuple[float, float, float]:
    return found.hellinger, found.jensen_shannon, found.total_variation


def test_clients_of_equal_sizes() -> None:
    """4 0 0 and 0 2 2, so q is 1/2 1/4 1/4; both clients are as far from it.

    Sum sqrt(p q) is sqrt(1/2) for client 0 and 2 sqrt(1/8) for client 1, so Hellinger is sqrt(1 - sqrt(1/2)) = 0.5412.
    The middle for client 0 is 3/4 1/8 1/8: its divergence from p is log2(4/3) = 0.4150, from q log2(2/3) / 2 + 1/2 =
    0.2075, and the root of their mean 0.5579; for client 1 likewise. Total variation (1/2 + 1/4 + 1/4) / 2. Effective
    classes 1 and 2; 3 of 6 cells are empty.
    """
    found = skew(counts([4, 0, 0], [0, 2, 2]))
    assert astuple(found) == pytest.approx((0.541196, 0.557923, 0.5, 1.5, 0.5, 0.0), abs=1e-6)


def test_distances_weigh_clients_by_their_images_and_effective_classes_do_not() -> None:
    """6 0 0 and 0 1 1, so q is 3/4 1/8 1/8 and the weights are 3/4 and 1/4.

    Hellinger: sqrt(1 - sqrt(3/4)) = 0.3660 and sqrt(1 - 2 sqrt(1/16)) = 0.7071, mean 0.4513. Jensen-Shannon: middle
    7/8 1/16 1/16, roots of (log2(8/7) + 3/4 log2(6/7) + 1/4) / 2 = 0.3714, and, with 3/8 5/16 5/16, of
    (log2(8/5) + 3/4 + log2(2/5) / 4) / 2 = 0.7408, mean 0.4637. Total variation 1/4 and 3/4, mean 0.375: 3 of 8 images
    would need another label. Effective classes 1 and 2, plain mean 1.5. Gini: (6 - 2) / (2 * 8) = 0.25.
    """
    found = skew(counts([6, 0, 0], [0, 1, 1]))
    assert astuple(found) == pytest.approx((0.451296, 0.463739, 0.375, 1.5, 0.5, 0.25), abs=1e-6)


def test_the_floor_is_that_of_images_drawn_without_replacement() -> None:
    """Two of 2 + 2 images are of one class with probability 1/3 (with replacement it would be 1/2).

    Then total variation is 1/2, else 0; effective classes are 1, else 2; one of two cells is empty, else none. So the
    expected values are 1/6, 5/3 and 1/6; the deviation of 2,000 draws is 0.005 (0.01 of the classes).
    """
    found = floor(counts([2, 0], [0, 2]), rng())
    assert found.total_variation == pytest.approx(1 / 6, abs=0.025)
    assert found.hellinger == pytest.approx(np.sqrt(1 - np.sqrt(1 / 2)) / 3, abs=0.025)
    assert found.effective_classes == pytest.approx(5 / 3, abs=0.05)
    assert found.missing_cells == pytest.approx(1 / 6, abs=0.025)


def test_chance_decides_nothing_where_a_client_has_one_image_or_all() -> None:
    """A client with one image has one class; the only client has the pool."""
    lone = counts([1, 0], [0, 1])
    assert astuple(floor(lone, rng())) == pytest.approx(astuple(skew(lone)))
    assert astuple(floor(counts([3, 5]), rng()))[:3] == pytest.approx((0, 0, 0), abs=1e-7)


def test_a_class_that_nobody_holds_is_missed_by_nobody_and_a_client_without_images_misses_all() -> None:
    assert skew(counts([1, 1, 0], [1, 1, 0])).missing_cells == 0
    assert astuple(skew(counts([2, 2], [0, 0]))) == pytest.approx((0, 0, 0, 2, 0.5, 0.5), abs=1e-7)
    assert floor(counts([2, 2], [0, 0]), rng()).missing_cells == 0.5


def test_without_images_there_is_no_skew() -> None:
    for measure in (skew, lambda none: floor(none, rng())):
        with pytest.raises(ValueError, match="no client holds an image"):
            measure(counts([0, 0], [0, 0]))


@pytest.mark.parametrize(
    ("scheme", "expected"),
    [
        ({"scheme": "dirichlet", "alpha": 0.1}, (0.72, 0.77, 0.78, 2.2, 0.60)),
        ({"scheme": "labels", "labels_per_client": 2}, (0.74, 0.78, 0.80, 2.0, 0.80)),
        ({"scheme": "iid"}, (0.05, 0.06, 0.05, 9.9, 0.0)),
    ],
    ids=lambda value: value["scheme"] if isinstance(value, dict) else None,
)
def test_ten_classes_of_5000_images_over_100_clients(scheme: dict[str, object], expected: tuple[float, ...]) -> None:
    """CIFAR-10 has these sizes; the numbers are reference values for it, means of 5 draws of other generators.

    Draws of Dirichlet(0.1) deviate by 0.008 in the distances, by 0.06 in the classes and by 0.01 in the empty cells.
    Unweighted distances would be 0.02 to 0.04 too low, weighted classes 0.2.
    """
    labels, found = np.repeat(np.arange(10), 5_000), []
    for seed in range(5):
        params = PartitionParams.model_validate({"clients": 100, **scheme})
        rows, clients = partition(labels, 10, params, seed)
        made = np.bincount(clients * 10 + labels[rows], minlength=1_000).reshape(100, 10)
        found.append(astuple(skew(made))[:5])
    means = np.mean(found, axis=0)
    assert means[:3] == pytest.approx(expected[:3], abs=0.018)
    assert means[3] == pytest.approx(expected[3], abs=0.08)
    assert means[4] == pytest.approx(expected[4], abs=0.03)
    assert floor(made, rng()).effective_classes == pytest.approx(9.9, abs=0.3)
    assert max(distances(floor(made, rng()))) < 0.1


@SOME
@given(Counts)
def test_bounds(held: Int64) -> None:
    """A squared Hellinger distance is at most the total variation, and that at most sqrt(2) Hellinger."""
    classes = int(held.any(axis=0).sum())
    for found in (skew(held), floor(held, rng())):
        assert all(0 <= distance <= 1 for distance in distances(found))
        assert found.hellinger**2 <= found.total_variation + 1e-9
        assert found.total_variation <= np.sqrt(2) * found.hellinger + 1e-9
        assert 1 - 1e-9 <= found.effective_classes <= classes + 1e-9
        assert 0 <= found.missing_cells < 1
        assert -1e-9 <= found.gini < 1
    assert skew(held).gini == pytest.approx(floor(held, rng()).gini)


@SOME
@given(st.lists(st.integers(1, 20), min_size=1, max_size=6), st.lists(st.integers(1, 9), min_size=1, max_size=6))
def test_clients_of_equal_distributions_are_not_skewed(shares: list[int], sizes: list[int]) -> None:
    found = skew(np.outer(sizes, shares))
    p = np.array(shares) / sum(shares)
    assert distances(found) == pytest.approx((0, 0, 0), abs=1e-7)
    assert (found.effective_classes, found.missing_cells) == pytest.approx((np.exp(-(p @ np.log(p))), 0))


@SOME
@given(Counts, st.integers(0, 1_000))
def test_the_order_of_clients_and_of_classes_does_not_count(held: Int64, seed: int) -> None:
    order = np.random.default_rng(seed)
    shuffled = order.permutation(held)
    assert astuple(skew(order.permutation(shuffled, axis=1))) == pytest.approx(astuple(skew(held)), abs=1e-7)
    assert astuple(floor(shuffled, rng())) == astuple(floor(held, rng()))


@SOME
@given(st.lists(st.integers(2, 30), min_size=2, max_size=6))
def test_clients_of_one_class_each_are_above_the_floor(sizes: list[int]) -> None:
    apart = np.diag(np.array(sizes, np.int64))
    found, least = skew(apart), floor(apart, rng())
    assert all(high > low for high, low in zip(distances(found), distances(least), strict=True))
    assert found.effective_classes < least.effective_classes
    assert found.missing_cells >= least.missing_cells


def test_many_clients_are_looked_at_a_few_at_a_time_to_the_same_result(monkeypatch: pytest.MonkeyPatch) -> None:
    held = rng().integers(0, 50, (40, 7))
    whole, least = skew(held), floor(held, rng())
    monkeypatch.setattr(module, "_CELLS", 30)
    assert astuple(skew(held)) == pytest.approx(astuple(whole))
    assert astuple(floor(held, rng())) == pytest.approx(astuple(least), abs=0.02)


def test_billions_of_images() -> None:
    """More than NumPy draws without replacement: the floor of so large clients is nearly 0."""
    found = floor(np.full((3, 3), 10**9), rng())
    assert max(distances(found)) < 1e-4
    assert found.effective_classes == pytest.approx(3)
