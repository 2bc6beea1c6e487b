from collections import Counter
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.federated import draws
from pipeline.federated.algorithm import LocalSettings
from pipeline.federated.draws import Chances

PLAIN = LocalSettings(8, 0.9, 0.0)
BALANCED = replace(PLAIN, sampling="class-balanced")


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


def uneven(labels: list[int], real: list[bool], settings: LocalSettings) -> Chances:
    found = draws.chances(torch.tensor(labels), torch.tensor(real), settings)
    assert found is not None
    return found


def counts(given: Chances, passes: int = 20, seed: int = 1) -> list[Counter[int]]:
    """Return how often each image is drawn in each pass."""
    count = len(given.expected)
    found = draws.batches(count, count, passes * count, seed, given)
    return [Counter(batch.tolist()) for batch in found]


def test_images_of_equal_chances_are_drawn_as_usual() -> None:
    """Usually, and where nothing makes a difference: all are real, or all classes have as many images."""
    labels, mixed, real = torch.tensor([0, 0, 1]), torch.tensor([True, False, False]), torch.ones(3, dtype=torch.bool)
    assert draws.chances(labels, mixed, PLAIN) is None
    assert draws.chances(labels, real, replace(PLAIN, real_weight=3.0)) is None
    assert draws.chances(labels, ~real, replace(PLAIN, real_weight=3.0)) is None
    assert draws.chances(torch.tensor([0, 4, 1]), mixed, BALANCED) is None
    assert draws.chances(labels[:0], real[:0], BALANCED) is None


def test_balanced_classes_by_hand() -> None:
    """Six images of class 4 and two of class 1 are eight draws a pass, four of each class.

    So an image of class 4 is drawn 4 / 6 times: four of the six once, others each time. One of class 1 is drawn twice.
    """
    given = uneven([4, 1, 4, 4, 1, 4, 4, 4], [True] * 8, BALANCED)
    assert given.expected.tolist() == pytest.approx([2 / 3, 2, 2 / 3, 2 / 3, 2, 2 / 3, 2 / 3, 2 / 3])
    found = counts(given)
    assert all(one[1] == one[4] == 2 for one in found)
    assert all(sorted(one.values()) == [1, 1, 1, 1, 2, 2] for one in found)
    assert len({tuple(sorted(one)) for one in found}) > 5


def test_the_weight_of_real_images_by_hand() -> None:
    """Two real images of weight 3 beside four others of weight 1: six draws a pass, 6 x 6 / 10 = 3.6 of real ones.

    In the mean a real image is drawn 1.8 times and another one 0.6 times; real ones are drawn 3 or 4 times a pass.
    """
    weighted = replace(PLAIN, real_weight=3.0)
    given = uneven([0, 1, 0, 1, 0, 1], [True, True, False, False, False, False], weighted)
    assert given.expected.tolist() == pytest.approx([1.8, 1.8, 0.6, 0.6, 0.6, 0.6])
    found = counts(given, 400)
    assert {one[0] + one[1] for one in found} == {3, 4}
    assert {one[image] for one in found for image in (0, 1)} == {1, 2}
    assert {one[image] for one in found for image in (2, 3, 4, 5)} == {0, 1}
    total = sum(found, Counter[int]())
    assert [total[image] / 400 for image in range(6)] == pytest.approx([1.8, 1.8, 0.6, 0.6, 0.6, 0.6], abs=0.1)


def test_both_together_by_hand() -> None:
    """Class 0 has a real image of weight 2 beside two others; class 1 two others. Five draws, 2.5 of each class.

    In class 0 the real image is drawn 2.5 x 2 / 4 = 1.25 times and the others 0.625 times; those of class 1 1.25 times.
    """
    given = uneven([0, 0, 0, 1, 1], [True, False, False, False, False], replace(BALANCED, real_weight=2.0))
    assert given.expected.tolist() == pytest.approx([1.25, 0.625, 0.625, 1.25, 1.25])


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=1, max_size=40),
    st.floats(0.001, 1000),
    st.sampled_from(["shuffled", "class-balanced"]),
    st.integers(0, 2**62),
)
def test_no_image_and_no_group_is_off_by_a_whole_draw(
    images: list[tuple[int, bool]], weight: float, sampling: str, seed: int
) -> None:
    labels, real = torch.tensor([label for label, _ in images]), torch.tensor([is_real for _, is_real in images])
    given = draws.chances(labels, real, replace(PLAIN, sampling=sampling, real_weight=weight))
    if given is None:
        return
    for one in counts(given, passes=2, seed=seed):
        drawn = torch.tensor([one[image] for image in range(len(images))], dtype=torch.float64)
        off = drawn - given.expected
        assert drawn.sum() == len(images)
        assert off.abs().max() < 1 + 1e-9
        for group in given.groups.unique():
            assert abs(off[given.groups == group].sum()) < 1 + 1e-9
        if sampling == "class-balanced":
            classes = labels.unique()
            for label in classes:
                assert abs(drawn[labels == label].sum() - len(images) / len(classes)) < 1 + 1e-9
