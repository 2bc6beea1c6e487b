import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.reporting.interval import Interval


def test_three_values_by_hand() -> None:
    """Of 1, 2, 3: mean 2, sample deviation 1, t(0.975, 2) = 4.3027, so 4.3027 / sqrt(3) = 2.4842."""
    found = Interval.of([1.0, 2.0, 3.0])
    assert found.mean == 2
    assert found.half_width == pytest.approx(2.4842, abs=1e-4)


def test_two_values_by_hand() -> None:
    """Of 0.2 and 0.4: mean 0.3, sample deviation 0.2 / sqrt(2), t(0.975, 1) = 12.7062, so 12.7062 * 0.1 = 1.2706."""
    found = Interval.of([0.2, 0.4])
    assert found.mean == pytest.approx(0.3)
    assert found.half_width == pytest.approx(1.27062, abs=1e-5)


def test_one_value_has_no_interval_and_equal_ones_one_of_0() -> None:
    assert Interval.of([0.5]) == Interval(0.5, None)
    assert Interval.of([0.5, 0.5, 0.5]) == Interval(0.5, 0.0)


def test_no_value_has_no_mean() -> None:
    with pytest.raises(ValueError, match="no values"):
        Interval.of([])


def test_rounding_keeps_four_decimals_and_a_missing_half_width() -> None:
    assert Interval(0.123456, 0.000049).rounded() == Interval(0.1235, 0.0)
    assert Interval(0.123456, None).rounded() == Interval(0.1235, None)


@pytest.mark.parametrize(
    ("interval", "signed", "text"),
    [
        (Interval(0.836, 0.012), False, "83.6 ± 1.2"),
        (Interval(0.836, None), False, "83.6"),
        (Interval(0.05, 0.1), True, "+5.0 ± 10.0"),
        (Interval(-0.05, None), True, "-5.0"),
        (Interval(0.0, None), True, "+0.0"),
    ],
)
def test_percent(interval: Interval, signed: bool, text: str) -> None:
    assert interval.percent(signed=signed) == text


values = st.lists(st.floats(0, 1), min_size=2, max_size=8)


@given(values, st.floats(0, 1))
def test_a_constant_added_moves_the_mean_and_leaves_the_width(drawn: list[float], constant: float) -> None:
    here, there = Interval.of(drawn), Interval.of([value + constant for value in drawn])
    assert here.half_width is not None
    assert there.half_width is not None
    assert there.mean == pytest.approx(here.mean + constant)
    assert there.half_width == pytest.approx(here.half_width, abs=1e-6)


@given(values)
def test_the_mean_is_within_the_values_and_the_width_follows_the_deviation(drawn: list[float]) -> None:
    """More than twice the standard error at up to 8 values, and t falls to 1.96 for many."""
    found = Interval.of(drawn)
    error = statistics.stdev(drawn) / math.sqrt(len(drawn))
    assert min(drawn) - 1e-9 <= found.mean <= max(drawn) + 1e-9
    assert found.half_width is not None
    assert found.half_width >= 2 * error - 1e-9
    assert found.half_width <= 12.71 * error + 1e-9
