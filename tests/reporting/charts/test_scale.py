import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.reporting.charts.markup import number
from pipeline.reporting.charts.scale import Scale, around

FINITE = st.floats(-1e6, 1e6)


@pytest.mark.parametrize(
    ("values", "ticks"),
    [
        ([52.3, 86.0], (50, 60, 70, 80, 90)),
        ([3, 97], (0, 25, 50, 75, 100)),
        ([-6.0, 26.1], (-10, 0, 10, 20, 30)),
        ([0.61, 0.62], (0.61, 0.6125, 0.615, 0.6175, 0.62)),
        ([7, 7], (6.5, 6.75, 7, 7.25, 7.5)),
        ([], (0, 1)),
        ([None, math.nan, math.inf], (0, 1)),
    ],
)
def test_ticks_are_round_numbers_around_the_values(values: list[float | None], ticks: tuple[float, ...]) -> None:
    assert around(values) == pytest.approx(ticks)


def test_an_axis_of_bars_begins_at_0() -> None:
    assert around([80.0, 90.0], least=0.0) == (0, 25, 50, 75, 100)
    assert around([0.0], least=0.0)[0] == 0


@given(st.lists(FINITE, min_size=1, max_size=5), st.integers(2, 9))
def test_all_values_lie_between_the_ticks_and_these_are_few(values: list[float], most: int) -> None:
    ticks = around(values, most)
    slack = 1e-6 * max(1.0, *map(abs, values))
    assert ticks[0] <= min(values) + slack
    assert ticks[-1] >= max(values) - slack
    assert 2 <= len(ticks) <= most + 2
    assert list(ticks) == sorted(set(ticks))


def test_a_value_is_drawn_in_proportion_and_never_outside() -> None:
    scale = Scale(0, 50, 100, 0)
    assert [scale.at(value) for value in (0, 25, 50, -1, 51)] == [100, 50, 0, 100, 0]


@pytest.mark.parametrize(
    ("value", "text"), [(1.0, "1"), (12.34, "12.3"), (-0.04, "0"), (100.0, "100"), (10.04, "10"), (0.0, "0")]
)
def test_numbers_have_no_zeros_at_their_end(value: float, text: str) -> None:
    assert number(value, 1) == text
