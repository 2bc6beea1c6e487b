import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray

from pipeline.clients.rounding import controlled, largest_remainder

SOME = settings(max_examples=60)


@SOME
@given(
    arrays(np.float64, array_shapes(min_dims=2, max_dims=2, max_side=6), elements=st.floats(0, 1000)), st.integers(0, 6)
)
def test_largest_remainder(exact: NDArray[np.float64], more: int) -> None:
    """Totals from the sum of what is rounded down, up to one more for each cell, are met; no cell is off by one."""
    totals = np.floor(exact + 1e-9).astype(np.int64).sum(axis=1) + min(more, exact.shape[1])
    rounded = largest_remainder(exact, totals)
    assert rounded.sum(axis=1).tolist() == totals.tolist()
    assert (abs(rounded - exact) <= 1 + 1e-9).all()
    for cells, parts in zip(rounded, exact, strict=True):
        up = cells > np.floor(parts + 1e-9)
        rest = parts - np.floor(parts + 1e-9)
        if up.any() and not up.all():
            assert rest[up].min() >= rest[~up].max()


def test_ties_go_to_the_lower_cell() -> None:
    """Four times 0.5 with a total of 2; then 1.25, 0.75, 0.75 with a total of 2: one of the equal parts is raised.

    A hundred times 0.5, 0.25, 0.75 with a total of 150: every 0.75, and the first fifty 0.5, since sorting is stable.
    """
    assert largest_remainder(np.full((1, 4), 0.5), np.array([2])).tolist() == [[1, 1, 0, 0]]
    assert largest_remainder(np.array([[1.25, 0.75, 0.75]]), np.array([2])).tolist() == [[1, 1, 0]]
    many = largest_remainder(np.tile([0.5, 0.25, 0.75], 100)[None], np.array([150]))
    assert many.tolist() == [[1, 0, 1] * 50 + [0, 0, 1] * 50]


def test_a_sum_that_floats_leave_a_hair_short_is_not_rounded_down() -> None:
    """0.1 + 0.2 is 3 tenths: 10 x (0.3 - 0.1 - 0.1) is 0.9999999999999998, and means 1."""
    assert largest_remainder(np.array([[10 * (0.3 - 0.1 - 0.1), 0.9]]), np.array([1])).tolist() == [[1, 0]]


def test_ties_are_broken_by_chance_where_a_generator_is_given() -> None:
    """Four times 0.5 with a total of 2, in a thousand rows: each cell is raised in about half of them.

    The deviation of 1,000 halves is 16, so 100 are six of them. What is no tie is decided as ever.
    """
    rng = np.random.default_rng(1)
    rounded = largest_remainder(np.full((1_000, 4), 0.5), np.full(1_000, 2), rng)
    assert rounded.sum(axis=1).tolist() == [2] * 1_000
    assert (abs(rounded.sum(axis=0) - 500) < 100).all()
    assert largest_remainder(np.array([[0.2, 0.3, 0.5]]), np.array([1]), rng).tolist() == [[0, 0, 1]]


Tables = arrays(
    np.float64,
    array_shapes(min_dims=2, max_dims=2, max_side=7),
    elements=st.one_of(st.floats(0, 50), st.integers(0, 40).map(lambda tenths: tenths / 10)),
)


@settings(max_examples=30)
@given(Tables, st.integers(0, 99))
def test_controlled_rounding_rounds_cells_rows_columns_and_the_whole_down_or_up(
    exact: NDArray[np.float64], seed: int
) -> None:
    """Half of the draws are tenths, whose sums are often whole: these stay as they are."""
    total = round(exact.sum())
    rounded = controlled(exact, total, np.random.default_rng(seed))
    assert rounded.sum() == total
    for found, meant in ((rounded, exact), *((rounded.sum(axis=axis), exact.sum(axis=axis)) for axis in (0, 1))):
        assert (found >= np.floor(meant + 1e-6)).all()
        assert (found <= np.ceil(meant - 1e-6)).all()
    assert np.array_equal(rounded, controlled(exact, total, np.random.default_rng(seed)))


def test_controlled_rounding_raises_a_cell_as_often_as_its_remainder_says() -> None:
    """2.75 and 1.25 on the diagonal sum to 4, so they become 3 and 1, or 2 and 2 in one of four draws.

    The deviation of 200 such draws is 6.1, so 37 are six of them.
    """
    exact = np.array([[2.75, 0.0], [0.0, 1.25]])
    draws = [controlled(exact, 4, np.random.default_rng(seed)).tolist() for seed in range(200)]
    assert {str(draw) for draw in draws} == {"[[3, 0], [0, 1]]", "[[2, 0], [0, 2]]"}
    assert abs(draws.count([[2, 0], [0, 2]]) - 50) < 37


def test_a_total_that_is_not_the_sum_rounded_is_refused() -> None:
    with pytest.raises(ValueError, match="4 is not"):
        controlled(np.array([[1.5, 1.0]]), 4, np.random.default_rng(1))
