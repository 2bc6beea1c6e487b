"""KID, CMMD, sliced Wasserstein and Fréchet distance: numbers by hand, and what holds for any images."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.errors import DataError
from pipeline.evaluation.distances import FEWEST, cmmd, frechet, kid, sliced_wasserstein, subset_size

RNG = partial(np.random.default_rng, 0)


def column(*values: float) -> NDArray[np.float64]:
    return np.array(values, np.float64)[:, None]


def draw(seed: int, count: int, dimension: int = 5) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=(count, dimension)).astype(np.float32)


def test_kid_by_hand() -> None:
    """k(x, y) = (x y + 1)^3: within 0, 2 it is 1, within 1, 1 it is 8, across 1, 1, 27, 27: 1 + 8 - 2 * 14."""
    mean, spread = kid(column(0, 2), column(1, 1), RNG())
    assert mean == pytest.approx(-19)
    assert spread == 0


def test_kid_divides_products_by_the_dimension() -> None:
    """x y / 2 = 2 within the real ones (0 with the other two): 27 and 1 across; (2 + 1)^3 + 1 - 2 = 26."""
    assert kid(np.array([[2.0, 0], [2, 0]]), np.zeros((2, 2)), RNG())[0] == pytest.approx(27 + 1 - 2)


def test_kid_is_unbiased_and_says_how_it_spreads() -> None:
    """Over 200 pairs of sets from one distribution the mean lies within four standard errors of 0."""
    found = [kid(draw(seed, 20), draw(seed + 1000, 20), RNG()) for seed in range(200)]
    means = np.array([mean for mean, _ in found])
    assert abs(means.mean()) < 4 * means.std() / np.sqrt(len(means))
    assert all(spread > 0 for _, spread in found)
    assert kid(draw(0, 50), draw(1, 50) + 2, RNG())[0] > 10 * means.std()


@given(st.integers(2, 12), st.integers(2, 12), st.integers(0, 2**32 - 1))
def test_kid_of_few_images_is_a_number_and_follows_from_the_seed(real: int, fake: int, seed: int) -> None:
    ours, theirs = draw(seed, real), draw(seed + 1, fake)
    found = kid(ours, theirs, np.random.default_rng(seed))
    assert np.isfinite(found).all()
    assert found == kid(ours, theirs, np.random.default_rng(seed))


def test_subsets_are_of_half_the_images_and_at_most_1000() -> None:
    assert [subset_size(count) for count in (2, 3, 7, 1000, 50_000)] == [2, 2, 3, 500, 1000]


def test_cmmd_by_hand() -> None:
    """k = exp(-d^2 / 200); d is 10 on either side, and 10, 20, 0, 10 across."""
    near, far = np.exp(-0.5), np.exp(-2)
    assert cmmd(column(0, 10), column(10, 20)) == pytest.approx(1000 * (2 * near - (2 * near + far + 1) / 2))


def test_cmmd_is_unbiased() -> None:
    means = np.array([cmmd(draw(seed, 15), draw(seed + 1000, 15)) for seed in range(200)])
    assert abs(means.mean()) < 4 * means.std() / np.sqrt(len(means))
    assert cmmd(draw(0, 50), draw(1, 50) + 2) > 10 * means.std()


@pytest.mark.parametrize(
    ("real", "fake", "distance"),
    [
        (column(0, 1), column(4, 3), 3 * 9),  # every quantile is 3 away
        (column(0), column(1, 3), 3 * (1 + 9) / 2),
        # The real 2/3-quantile is still 0, the other side's is 3 from 1/2 on: 9 over a width of 1/6.
        (column(0, 0, 3), column(0, 3), 3 * 9 / 6),
    ],
)
def test_sliced_wasserstein_by_hand(real: NDArray[np.float64], fake: NDArray[np.float64], distance: float) -> None:
    """In one dimension the directions are 1 and -1, which give the same."""
    assert sliced_wasserstein(real, fake, projections=5) == pytest.approx(distance)


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 3), st.integers(0, 2**32 - 1))
def test_sliced_wasserstein_of_repeated_images_is_that_of_the_images(n: int, m: int, times: int, seed: int) -> None:
    """Repeating every image of a side changes no quantile; the sides can be exchanged."""
    real, fake = draw(seed, n), draw(seed + 1, m)
    distance = sliced_wasserstein(real, fake, projections=10)
    assert sliced_wasserstein(np.repeat(real, times, axis=0), fake, projections=10) == pytest.approx(distance)
    assert sliced_wasserstein(fake, real, projections=10) == pytest.approx(distance)
    assert sliced_wasserstein(real, np.repeat(real, times, axis=0), projections=10) == pytest.approx(0, abs=1e-9)


def test_a_shift_is_three_times_its_square() -> None:
    """The mean of (u v)^2 over directions u of D dimensions is |v|^2 / D; 1,000 directions leave some percent."""
    real = draw(1, 50)
    shift = np.array([3, 4, 0, 0, 0], np.float32)
    assert sliced_wasserstein(real, real + shift) == pytest.approx(3 * 25, rel=0.1)


def test_frechet_by_hand() -> None:
    """Points of a rectangle: the covariance is diagonal, 1 and 4 times N / (N - 1); a shift adds its square.

    Twice as far from the mean, each root differs by itself: sum of (2 s - s)^2 = 1 + 4.
    """
    real = np.tile(np.array([[1, 2], [1, -2], [-1, 2], [-1, -2]], np.float64), (FEWEST // 4, 1))
    turned = real[:, ::-1]  # roots 1, 2 against 2, 1: (1 - 2)^2 + (2 - 1)^2
    unit = FEWEST / (FEWEST - 1)
    assert frechet(real, real) == pytest.approx(0, abs=1e-9)
    assert frechet(real, real + np.array([3, 4])) == pytest.approx(25)
    assert frechet(real, 2 * real) == pytest.approx(5 * unit)
    assert frechet(real, turned) == pytest.approx(2 * unit)


def test_frechet_of_covariances_that_do_not_commute() -> None:
    """tr (C C')^(1/2) = (l1 l2 ...)^(1/2) for C = (1, 0; 0, 0) and C' = (1, 1; 1, 1) / 2: rank 1, root of 1/2."""
    flat = np.tile(np.array([[1.0, 0], [-1, 0]]), (FEWEST // 2, 1))
    slanted = np.tile(np.array([[1.0, 1], [-1, -1]]) / np.sqrt(2), (FEWEST // 2, 1))
    unit = FEWEST / (FEWEST - 1)
    assert frechet(flat, slanted) == pytest.approx((2 - 2 * np.sqrt(1 / 2)) * unit)


def test_frechet_refuses_fewer_than_10000_images() -> None:
    many = np.zeros((FEWEST, 1))
    with pytest.raises(DataError, match="the Fréchet distance needs at least 10,000 images on either side: 9,999 syn"):
        frechet(many, many[1:])


def test_one_image_has_no_discrepancy() -> None:
    for metric in (cmmd, lambda real, fake: kid(real, fake, RNG())):
        with pytest.raises(DataError, match="at least 2 images on either side: 1 real images"):
            metric(draw(0, 1), draw(1, 4))
