import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from pipeline.reporting import statistics
from pipeline.reporting.statistics import Difference, Estimate, estimate, paired


def replicates(*partitions: list[float]) -> dict[tuple[int, int], float]:
    """Return values by partition and seed, the partitions numbered from 1, and the seeds of each."""
    return {(i, j): value for i, values in enumerate(partitions, 1) for j, value in enumerate(values, 1)}


@pytest.mark.parametrize(("count", "p"), [(1, 1.0), (2, 0.5), (3, 0.25), (5, 0.0625), (6, 0.03125)])
def test_differences_of_one_sign_have_the_least_p_that_their_number_allows(count: int, p: float) -> None:
    """Of 2^n patterns only "all plus" and "all minus" are as far from 0: 2 / 2^n. So 5 pairs never give p < .05."""
    assert statistics.sign_flip(np.arange(1, count + 1) / 10) == p


def test_sign_flip_by_hand() -> None:
    """Of 3, 2 and -1 the sum is 4; the patterns with a sum of at least 4 in size are +3 +2 +1, +3 +2 -1 and their
    mirrors, of 8: p = 1/2. Of 0.1, 0.2 and -0.3 the sum is 0, and every pattern is as far: p = 1, although in floating
    point 0.1 + 0.2 is not 0.3.
    """
    assert statistics.sign_flip([3, 2, -1]) == 0.5
    assert statistics.sign_flip([0.1, 0.2, -0.3]) == 1
    assert statistics.sign_flip([0.0, 0.0]) == 1


def test_of_many_differences_random_patterns_are_tried() -> None:
    """20 differences, each 1 or -1: with 15 plus and 5 minus the sum is 10. A random sum is 20 - 2 k for k minus signs,
    as far from 0 for k <= 5 or k >= 15: twice the binomial distribution's tail, 2 * 0.020695.
    """
    values = [1.0] * 15 + [-1.0] * 5
    assert statistics.sign_flip(values) == pytest.approx(2 * stats.binom.cdf(5, 20, 0.5), abs=0.002)
    assert statistics.sign_flip([1.0] * 20) >= 2**-16


def test_the_mean_weighs_partitions_evenly() -> None:
    """Partition 1 has the mean 2 of three values, partition 2 the value 4: mean 3, and not (1 + 2 + 3 + 4) / 4."""
    found = paired(replicates([1, 2, 3], [4]))
    assert (found.mean, found.partitions, found.replicates, found.unit) == (3, 2, 4, "partition")


def test_one_partition_demonstrates_and_is_never_clear() -> None:
    """Of 1, 2, 3: mean 2, deviation 1, t(0.975, 2) = 4.3027, so the half width is 4.3027 / sqrt(3) = 2.4842. A thousand
    seeds of one partition that agree change nothing: there is no p.
    """
    found = paired(replicates([1, 2, 3]))
    assert (found.low, found.high) == pytest.approx((2 - 2.4842, 2 + 2.4842), abs=1e-4)
    assert (found.p, found.partitions, found.replicates, found.unit) == (None, 1, 3, "seed")
    assert not paired({(1, seed): 5 + seed / 1e6 for seed in range(1000)}).clear


def test_one_replicate_has_no_interval() -> None:
    assert paired({(7, 1): 0.5}) == Difference(0.5, None, None, 1, 1, None)
    assert not paired({(7, 1): 0.5}).clear


def test_two_to_five_partitions_have_students_interval_of_their_means() -> None:
    """Means 1, 2, 3: the interval is that of three values, however close the seeds are; p is 1/4, so never clear."""
    found = paired(replicates([0.9, 1.1], [1.9, 2.1], [2.9, 3.1]))
    assert (found.low, found.high) == pytest.approx((2 - 2.4842, 2 + 2.4842), abs=1e-4)
    assert (found.p, found.clear) == (0.25, False)


def test_five_partitions_are_never_clear_and_six_can_be() -> None:
    close = [0.9, 1.0, 1.1, 1.0, 1.05, 0.95]
    five, six = (paired({(i, 1): value for i, value in enumerate(close[:count])}) for count in (5, 6))
    assert five.low is not None
    assert five.low > 0
    assert (five.p, five.clear) == (0.0625, False)
    assert (six.p, six.clear) == (0.03125, True)


def test_clear_needs_the_interval_and_the_test() -> None:
    """Both can fail alone: p >= .05 beside an interval above 0, and an interval that holds 0 beside p < .05."""
    assert Difference(0.1, 0.05, 0.2, 6, 12, 0.03).clear
    assert Difference(-0.1, -0.2, -0.05, 6, 12, 0.03).clear
    assert not Difference(0.1, 0.05, 0.2, 6, 12, 0.0625).clear
    assert not Difference(0.1, -0.05, 0.2, 6, 12, 0.03).clear
    assert not Difference(0.1, 0.05, 0.2, 5, 12, 0.03).clear


def test_bca_of_one_level_is_scipys() -> None:
    """The same resamples give the same interval, but for how quantiles are interpolated; the values have no ties."""
    values = np.random.default_rng(2).exponential(size=8)
    found = stats.bootstrap((values,), np.mean, n_resamples=20_000, method="BCa", rng=np.random.default_rng(1))
    jackknife = (values.sum() - values) / (len(values) - 1)
    ours = statistics.bca(float(values.mean()), found.bootstrap_distribution, jackknife, 0.025)
    assert ours == pytest.approx(tuple(found.confidence_interval), abs=2e-3)


def test_seeds_are_resampled_within_partitions() -> None:
    """Six partitions of equal means, whose seeds differ: resampling partitions alone would give an interval of 0 width.

    Each mean of two seeds +1 and -1 is 1, 0 or -1 with 1/4, 1/2, 1/4, so its variance is 1/2 and that of a mean of six
    1/12. The widened tail is 2.8163 deviations wide: sqrt(6 / 5) * t(0.975, 5) = 1.0954 * 2.5706.
    """
    found = estimate(replicates(*[[1.0, -1.0]] * 6))
    assert found.mean == 0
    assert found.low is not None
    assert found.high is not None
    assert (found.low, found.high) == pytest.approx((-2.816 / math.sqrt(12), 2.816 / math.sqrt(12)), abs=0.09)


def test_partitions_of_unequal_numbers_of_seeds_weigh_the_same() -> None:
    """Partition 1 has one seed of value 6, the others have three of 0: mean 1.

    A sample's mean is 6 k / 6 = k for k draws of partition 1, and k is binomial of 6 draws with probability 1/6: mean
    1, variance 5/6.
    """
    found = estimate(replicates([6.0], *[[0.0] * 3] * 5))
    assert found.mean == 1
    weights = statistics._weights((1, 3, 3, 3, 3, 3))
    assert weights.sum(axis=1) == pytest.approx(np.ones(len(weights)))
    drawn = 6 * weights[:, 0]
    assert (drawn.mean(), drawn.var()) == pytest.approx((1, 5 / 6), abs=0.03)
    assert set(np.round(drawn, 9).tolist()) <= {0, 1, 2, 3, 4, 5, 6}


def test_equal_values_have_an_interval_of_no_width() -> None:
    assert paired(replicates(*[[0.25, 0.25]] * 6)) == Difference(0.25, 0.25, 0.25, 6, 12, 0.03125)


@pytest.mark.parametrize("skewed", [False, True])
def test_the_interval_covers_the_truth_about_as_often_as_it_says(skewed: bool) -> None:
    """6 partitions x 2 seeds of mean 0, both levels with deviation 1; 300 draws. 95 % is 285. Here it covers 286, and
    with skewed partitions 293; without widened tails it would be 264 and 274.
    """
    rng, hits = np.random.default_rng(3), 0
    for _ in range(300):
        partitions = rng.exponential(1, 6) - 1 if skewed else rng.normal(size=6)
        found = estimate({(i, j): partitions[i] + rng.normal() for i in range(6) for j in range(2)})
        assert found.low is not None
        assert found.high is not None
        hits += found.low <= 0 <= found.high
    assert hits >= 279


@pytest.mark.parametrize(
    ("values", "why"), [({}, "no values"), ({(1, 1): math.nan}, "not finite"), ({(1, 1): math.inf}, "not finite")]
)
def test_nothing_or_a_number_that_is_none_is_refused(values: dict[tuple[int, int], float], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        paired(values)


def test_texts() -> None:
    assert Estimate(0.836, 0.824, 0.848, 6, 12).percent() == "83.6 (82.4 to 84.8)"
    assert Difference(0.061, 0.04, 0.083, 6, 12, 0.03).percent() == "+6.1 (+4.0 to +8.3)"
    assert Difference(-0.01, -0.03, 0.01, 6, 12, 0.5).percent() == "-1.0 (-3.0 to +1.0)"
    assert Estimate(0.5, None, None, 1, 1).percent() == "50.0"


def test_rounding_keeps_four_decimals_counts_and_what_is_missing() -> None:
    found = Difference(0.123456, -0.000049, 0.5, 6, 12, 0.03125)
    assert found.rounded() == Difference(0.1235, 0.0, 0.5, 6, 12, 0.0312)
    assert Estimate(0.123456, None, None, 1, 1).rounded() == Estimate(0.1235, None, None, 1, 1)


drawn = st.dictionaries(
    st.tuples(st.integers(0, 7), st.integers(0, 2)), st.floats(-1, 1).map(lambda x: round(x, 3)), min_size=1
)


@settings(max_examples=30, deadline=None)
@given(drawn, st.randoms(use_true_random=False))
def test_the_order_of_replicates_does_not_matter_and_turning_all_signs_turns_the_result(
    values: dict[tuple[int, int], float], shuffling: random.Random
) -> None:
    keys = list(values)
    shuffling.shuffle(keys)
    found = paired(values)
    assert paired({key: values[key] for key in keys}) == found
    turned = paired({key: -value for key, value in values.items()})
    assert turned.mean == pytest.approx(-found.mean)
    assert (turned.p, turned.replicates) == (found.p, len(values))
    assert (found.low is None) == (len(values) == 1)
    if found.low is not None and found.high is not None:
        assert found.low <= found.mean + 1e-9
        assert found.mean - 1e-9 <= found.high
