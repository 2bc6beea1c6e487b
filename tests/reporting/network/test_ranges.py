"""Medians and ranges over replicates and network draws, derived by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.reporting.network import durations, ranges
from pipeline.reporting.network.ranges import Range

NEVER = math.inf


def test_the_median_and_the_ends_are_values_that_occurred() -> None:
    """Of 1, 2, ..., 20 half lie at or below 10, a twentieth at or below 1, and 19 of 20 at or below 19."""
    one, two = np.arange(1.0, 11), np.arange(11.0, 21)
    assert ranges.over({(0, 1): one, (0, 2): two}) == Range(10, 1, 19, 1, 2, 10)


def test_a_run_that_never_reaches_counts_as_longer_than_all_others() -> None:
    """Three of four seeds reach: the median of 1, 2, 3, never is 2, and the upper end is unknown.

    With one of three the median is unknown too.
    """
    found = ranges.over({(0, seed): np.array([value]) for seed, value in enumerate((3.0, NEVER, 1.0, 2.0))})
    assert found == Range(2, 1, None, 0.75, 4, 1)
    one_of_three = ranges.over({(0, 1): np.array([5.0]), (0, 2): np.array([NEVER]), (0, 3): np.array([NEVER])})
    assert (one_of_three.median, one_of_three.low, one_of_three.known) == (None, 5, 0.3333)


def test_partitions_weigh_the_same_whatever_their_seeds() -> None:
    """Partition 1 has three seeds that need 9 hours, partition 2 has one of 1 hour: each is half, so the median is 1.

    With seeds weighing the same, three quarters would be 9.
    """
    found = ranges.over({(1, seed): np.full(2, 9.0) for seed in (1, 2, 3)} | {(2, 1): np.full(2, 1.0)})
    assert (found.median, found.high, found.replicates) == (1, 9, 4)


def test_shares_weigh_as_ranges_do() -> None:
    """Partition 1: one of two draws with one of two seeds, a quarter; partition 2: always. Together 5/8."""
    happens = {(1, 1): np.array([True, False]), (1, 2): np.array([False, False]), (2, 1): np.array([True, True])}
    assert ranges.share(happens) == 0.625


def test_nothing_and_no_numbers_are_refused() -> None:
    for values in ({}, {(0, 1): np.array([])}, {(0, 1): np.array([math.nan])}):
        with pytest.raises(ValueError, match=r"no value|no number"):
            ranges.over(values)


@given(st.lists(st.floats(0, 1e6) | st.just(NEVER), min_size=1, max_size=30))
def test_the_range_is_in_order_and_encloses_the_median(drawn: list[float]) -> None:
    found = ranges.over({(0, 1): np.array(drawn)})
    ends = [math.inf if end is None else end for end in (found.low, found.median, found.high)]
    assert ends == sorted(ends)
    assert found.known == pytest.approx(np.isfinite(drawn).mean(), abs=1e-4)


def test_times_are_read_in_the_unit_that_fits() -> None:
    shown = {seconds: durations.text(seconds) for seconds in (0.0, 1.234, 95.0, 150.0, 7200.0, 40 * 3600.0, 9e7)}
    assert list(shown.values()) == ["0.00 s", "1.23 s", "95.0 s", "2.50 min", "2.00 h", "40.0 h", "1,042 days"]
