import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.data import unused

ROWS = np.arange(100, 130)
LABELS = np.repeat([0, 1, 2], [20, 7, 3])


def test_each_part_has_its_share_of_every_class() -> None:
    """Cumulated shares 1/2, 3/4, 1 of 20, 7 and 3 images are 10 15 20, 3.5 5.25 7 and 1.5 2.25 3."""
    found = unused.parts(ROWS, LABELS, (0.5, 0.25, 0.25), 0)
    counts = [np.bincount(LABELS[part - 100], minlength=3).tolist() for part in found]
    assert counts == [[10, 4, 2], [5, 1, 0], [5, 2, 1]]


def test_parts_are_drawn_by_the_seed() -> None:
    first, again, other = (unused.parts(ROWS, LABELS, (0.5,), seed)[0].tolist() for seed in (1, 1, 2))
    assert first == again != other
    assert first != ROWS[:15].tolist()


@given(st.lists(st.integers(0, 4), max_size=60), st.lists(st.floats(0, 1), min_size=1, max_size=4), st.integers(0, 9))
def test_parts_are_disjoint_and_ascend(labels: list[int], weights: list[float], seed: int) -> None:
    shares = [weight / max(sum(weights), 1.0) for weight in weights]
    rows = np.arange(len(labels)) * 3
    found = unused.parts(rows, np.array(labels, np.int64), shares, seed)
    together = np.concatenate(found)
    assert len(set(together.tolist())) == len(together)
    assert set(together.tolist()) <= set(rows.tolist())
    assert all((np.diff(part) > 0).all() for part in found)
    if abs(sum(shares) - 1) < 1e-12:
        assert len(together) == len(rows)


@pytest.mark.parametrize("shares", [(0.6, 0.5), (-0.1, 0.5)])
def test_shares_beyond_the_whole_are_refused(shares: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="shares"):
        unused.parts(ROWS, LABELS, shares, 0)
