import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.federated import draws


def drawn(count: int, size: int, samples: int, seed: int) -> list[list[int]]:
    return [batch.tolist() for batch in draws.batches(count, size, samples, seed)]


@settings(max_examples=100)
@given(st.integers(1, 30), st.integers(1, 40), st.integers(0, 150), st.integers(0, 2**62))
def test_batches_are_full_and_cross_from_pass_to_pass(count: int, size: int, samples: int, seed: int) -> None:
    """Whatever the numbers: ceil(samples / size) batches, all full but the last, and every pass has each index once."""
    found = drawn(count, size, samples, seed)
    assert [len(batch) for batch in found] == [size] * (samples // size) + [samples % size] * (samples % size > 0)
    indexes = [index for batch in found for index in batch]
    for start in range(0, samples, count):
        one_pass = indexes[start : start + count]
        assert len(set(one_pass)) == len(one_pass) == min(count, samples - start)
        assert set(one_pass) <= set(range(count))
    assert found == drawn(count, size, samples, seed)


def test_how_batches_are_cut_changes_no_order() -> None:
    """Five images: 12 samples in batches of 4, and of 12, which spans two passes and part of a third."""
    small, (large,) = drawn(5, 4, 12, 1), drawn(5, 12, 12, 1)
    assert [index for batch in small for index in batch] == large
    assert sorted(large[:5]) == sorted(large[5:10]) == [0, 1, 2, 3, 4]


def test_passes_and_seeds_have_orders_of_their_own() -> None:
    first, second = drawn(50, 50, 100, 1)
    (other,) = drawn(50, 50, 50, 2)
    assert first != second
    assert first != other
    assert first != list(range(50))


def test_there_must_be_something_to_draw_from() -> None:
    assert drawn(0, 4, 0, 1) == []
    with pytest.raises(ValueError, match="3 samples of no image"):
        drawn(0, 4, 3, 1)
