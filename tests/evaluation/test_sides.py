"""Sides: each class in one random order, so that fewer images are some of more."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.evaluation.sides import Reference, Side, level, shared
from tests.evaluation.images import coloured, stored


def test_fewer_images_of_a_class_are_the_first_of_more(tmp_path: Path) -> None:
    labels = np.array([0, 1, 0, 0, 1, 2, 0, 0])
    images = stored(tmp_path, labels, coloured(labels, 1))
    whole, some = Side.of(images, np.arange(8), 4), Side.of(images, np.arange(8), 4, most=2)
    assert whole.counts.tolist() == [5, 2, 1, 0]
    assert some.counts.tolist() == [2, 2, 1, 0]
    assert sorted(whole.rows) == list(range(8))
    assert whole.take(some.counts).tolist() == some.rows.tolist()
    assert some.labels.tolist() == labels[some.rows].tolist() == [0, 0, 1, 1, 2]
    assert np.array_equal(np.concatenate(list(whole.chunks())), images.pixels[whole.rows])


def test_sides_share_the_smaller_number_and_too_few_are_none(tmp_path: Path) -> None:
    labels = np.array([0, 0, 0, 1, 1, 2])
    images = stored(tmp_path, labels, coloured(labels, 1))
    first, other = Side.of(images, np.arange(6), 3), Side.of(images, np.array([0, 1, 3, 4, 5]), 3)
    assert shared(2, first, other).tolist() == [2, 2, 0]


@pytest.mark.parametrize(
    ("counts", "most", "expected"),
    [
        ([50, 50, 50], 90, 30),  # 90 / 3
        ([50, 50, 50], 91, 31),  # rounded up, as 30 each are too few
        ([10, 50, 50], 90, 40),  # 10 and twice 40
        ([50, 0, 10], 40, 30),  # 10 and 30
        ([10, 20, 5], 90, 20),  # all there are
        ([], 90, 0),
    ],
)
def test_what_small_classes_lack_of_a_total_comes_from_the_others(counts: list[int], most: int, expected: int) -> None:
    assert level(np.array(counts, np.int64), most) == expected
    assert np.minimum(counts, expected).sum() >= min(most, sum(counts))


def test_the_real_sides_are_disjoint_and_the_training_images_are_the_clients(real: Reference) -> None:
    sides = (real.reference, real.validation, real.training)
    assert [side.counts.tolist() for side in sides] == [[25] * 3, [25] * 3, [20] * 3]
    assert len(set(np.concatenate([real.parts.judge, *(side.rows for side in sides)]))) == 360
    assert set(real.training.rows) == set(real.split.rows)
