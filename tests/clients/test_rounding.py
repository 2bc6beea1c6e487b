import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray

from pipeline.clients.rounding import largest_remainder

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
