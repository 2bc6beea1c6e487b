"""Clipped Density and Coverage: numbers by hand with K = 1, and what each is for, on real draws."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import special

from pipeline.errors import DataError
from pipeline.evaluation.distances import clipped_coverage, clipped_density
from pipeline.evaluation.distances.clipped import K, expected

REAL = np.array([[0.0], [1.0], [3.0]])
"""The nearest other image is 1, 1 and 2 away."""


def column(*values: float) -> NDArray[np.float64]:
    return np.array(values)[:, None]


def draw(seed: int, count: int = 400, dimension: int = 6) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(size=(count, dimension))


@pytest.mark.parametrize(
    ("fake", "density"),
    [
        # The median radius 1 cuts the third. 0.5 lies in two balls and counts once, 4 in the third, 10 in none: 2/3.
        # Of the real images 0 lies in the ball of 1, 1 in that of 0, 3 in none: 2/3, too.
        (column(0.5, 4, 10), 1),
        (column(0.5, 10, 10), 1 / 2),
        (column(4.5, 10, 10), 0),  # 1.5 from the third image: within 2, but not within the median radius
        (column(0.5, 0.5, 0.5), 1),  # 1 / (2/3), cut at 1
    ],
)
def test_density_by_hand(fake: NDArray[np.float64], density: float) -> None:
    assert clipped_density(REAL, fake, k=1) == pytest.approx(density)


@pytest.mark.parametrize(
    ("fake", "coverage"),
    [
        # Scores expected of m good images of 3: m / (2 + m) = 0, 1/3, 1/2, 3/5.
        (column(-1, 10, 10), 1 / 3),  # one ball of three, as one good image would
        (column(-1, 4.5, 10), 1),  # two of three: more than three good images are expected to reach
        (column(10, 10, 10), 0),
        (column(-1), 1),  # one ball of three, as one good image of one
    ],
)
def test_coverage_by_hand(fake: NDArray[np.float64], coverage: float) -> None:
    assert clipped_coverage(REAL, fake, k=1) == pytest.approx(coverage)


def test_coverage_is_interpolated_between_whole_numbers_of_good_images() -> None:
    """Five real images: m of ten good ones are expected to score m / (4 + m) = 0, 1/5, 1/3, 3/7, ...

    One ball of five is what one good image reaches. Two of five lie between two images and three:
    2 + (2/5 - 1/3) / (3/7 - 1/3) = 2.7.
    """
    real, far = column(*range(5)), [50] * 8
    assert clipped_coverage(real, column(-1, 50, *far), k=1) == pytest.approx(0.1)
    assert clipped_coverage(real, column(-1, 5, *far), k=1) == pytest.approx(0.27)


@given(st.integers(K + 1, 60), st.integers(1, 60))
def test_expected_scores_are_those_of_the_papers_sum(real: int, fake: int) -> None:
    """The sum over the beta-binomial distribution, with parameters m, K and N - K, of min(j, K) / K."""
    found = expected(real, fake)
    for good in (0, fake // 2, fake):
        j = np.arange(good + 1)
        log_choose = special.gammaln(good + 1) - special.gammaln(j + 1) - special.gammaln(good - j + 1)
        chances = np.exp(log_choose + special.betaln(K + j, real - K + good - j) - special.betaln(K, real - K))
        assert found[good] == pytest.approx((np.minimum(j, K) * chances).sum() / K)


@pytest.mark.parametrize("share", [0, 0.25, 0.5, 0.75, 1])
def test_both_are_the_share_of_good_images(share: float) -> None:
    real, fake = draw(1), draw(2)
    bad = round(len(fake) * (1 - share))
    fake[:bad] += 1000
    assert clipped_density(real, fake) == pytest.approx(share, abs=0.06)
    assert clipped_coverage(real, fake) == pytest.approx(share, abs=0.06)


@given(st.integers(0, 2**32 - 1))
def test_identical_sets_are_perfect_and_disjoint_ones_worthless(seed: int) -> None:
    real = draw(seed, 30)
    assert clipped_density(real, real) == clipped_coverage(real, real) == 1
    assert clipped_density(real, real + 100) == clipped_coverage(real, real + 100) == 0


def test_one_image_again_and_again_is_realistic_and_covers_nothing() -> None:
    real = draw(3)
    fake = np.repeat(real[np.argmin((real**2).sum(axis=1))][None], len(real), axis=0)
    assert clipped_density(real, fake) > 0.9
    assert clipped_coverage(real, fake) < 0.2


def test_a_real_outlier_makes_no_image_good_and_a_bad_image_costs_no_coverage() -> None:
    real, fake = draw(4), draw(5)
    with_outlier = np.concatenate([real, np.full((1, 6), 50.0)])
    near_it = np.full((100, 6), 49.0)
    assert clipped_density(with_outlier, near_it) == 0
    coverage = clipped_coverage(real, fake)
    assert clipped_coverage(real, np.concatenate([fake, near_it])) == pytest.approx(coverage * 4 / 5, abs=0.05)


@given(st.integers(0, 2**32 - 1))
def test_only_distances_matter(seed: int) -> None:
    """Neither the order of images nor where the origin is, nor how the axes lie."""
    rng = np.random.default_rng(seed)
    real, fake = draw(seed, 40), draw(seed + 1, 40) + 0.5
    turn = np.linalg.qr(rng.normal(size=(6, 6)))[0]
    moved = (rng.permutation(real) @ turn + 1e4, rng.permutation(fake) @ turn + 1e4)
    for metric in (clipped_density, clipped_coverage):
        assert metric(*moved) == pytest.approx(metric(real, fake))


def test_equal_real_images_have_balls_of_radius_0() -> None:
    real = np.ones((10, 3), np.float32)
    assert clipped_density(real, real) == clipped_coverage(real, real) == 1
    assert clipped_density(real, real + 1) == clipped_coverage(real, real + 1) == 0


def test_as_many_real_images_as_neighbours_are_too_few() -> None:
    for metric in (clipped_density, clipped_coverage):
        with pytest.raises(DataError, match="needs at least 6 images on either side: 5 real images: use more"):
            metric(draw(0, 5), draw(1, 5))
        metric(draw(0, 6), draw(1, 1))
        with pytest.raises(DataError, match="finite"):
            metric(draw(0, 6), np.full((6, 6), np.nan))
