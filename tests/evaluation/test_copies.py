"""Copies: pairs as a double loop finds them, hashes of real pictures, and a threshold that keeps its level."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

from pipeline.errors import DataError
from pipeline.evaluation import copies
from pipeline.evaluation.copies import Threshold
from pipeline.evaluation.pixels import identities

Few = st.lists(st.integers(0, 5), max_size=12)


def pictures(count: int, side: int = 64) -> NDArray[np.uint8]:
    """Smooth random pictures, no two alike."""
    rng = np.random.default_rng(11)
    coarse = rng.integers(0, 256, (count, 8, 8, 3), np.uint8)
    return np.stack([np.asarray(Image.fromarray(one).resize((side, side), Image.Resampling.BICUBIC)) for one in coarse])


def changed(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The same picture brighter, in half the size and back."""
    bright = ImageEnhance.Brightness(Image.fromarray(picture)).enhance(1.1)
    side = len(picture)
    return np.asarray(bright.resize((side // 2, side // 2)).resize((side, side)))


@given(Few, Few)
def test_exact_pairs_are_those_of_a_double_loop(own: list[int], others: list[int]) -> None:
    names, known = (np.array([f"{value:064d}" for value in values], "S64") for values in (own, others))
    assert copies.exact_of(names, known).tolist() == [others.index(one) if one in others else -1 for one in own]
    earlier = [own.index(one) if own.index(one) < i else -1 for i, one in enumerate(own)]
    assert copies.exact_within(names).tolist() == earlier


def test_exact_pairs_of_pixels() -> None:
    images = pictures(3)
    assert copies.exact_within(identities(images[[0, 1, 0, 0, 2]])).tolist() == [-1, -1, 0, 0, -1]
    almost = images.copy()
    almost[1, 0, 0, 0] ^= 1
    assert copies.exact_of(identities(almost), identities(images)).tolist() == [0, -1, 2]


Hash = arrays.arrays(np.uint64, st.integers(1, 9), elements=st.sampled_from([0, 1, 3, 7, 2**63, 2**64 - 1]))


@given(Hash, Hash, st.integers(-1, 64), st.integers(1, 40))
def test_near_pairs_are_those_of_a_double_loop(own: Any, others: Any, most: int, cells: int) -> None:
    def near(one: int, among: list[int]) -> int:
        bits = [(one ^ other).bit_count() for other in among]
        return bits.index(min(bits)) if bits and min(bits) <= most else -1

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(copies, "_CELLS", cells)
        expected = [near(one, others.tolist()) for one in own.tolist()]
        assert copies.near_of(own, others, most).tolist() == expected
        earlier = [near(one, own.tolist()[:i]) for i, one in enumerate(own.tolist())]
        assert copies.near_within(own, most).tolist() == earlier


def test_a_changed_picture_has_nearly_the_hash_of_the_first() -> None:
    """Twenty other pictures are half of the bits away, give or take; all black ones are equal."""
    images = pictures(20)
    hashes = copies.perceptual(images)
    assert hashes.dtype == np.uint64
    again = copies.perceptual(np.stack([changed(one) for one in images]))
    assert copies.near_of(again, hashes, 6).tolist() == list(range(20))
    assert copies.near_within(np.concatenate([hashes, again]), 6).tolist() == [-1] * 20 + list(range(20))
    black = copies.perceptual(np.zeros((2, 32, 32, 3), np.uint8))
    assert copies.near_within(black, 0).tolist() == [-1, 0]


@pytest.mark.parametrize(
    ("share", "bits"),
    [(0.05, -1), (0.1, 0), (0.2, 0), (0.3, 1), (0.5, 7), (0.9, 7), (1, 64)],
)
def test_bits_are_calibrated_on_held_out_images(share: float, bits: int) -> None:
    """Ten held-out images: 1 differs in 0 bits, 3 in at most 1, 5 in at most 2 (and 7), 10 in at most 8."""
    held_out = np.array([0, 1, 1, 2, 2, 8, 8, 8, 8, 8], np.uint8)
    assert copies.most_bits(held_out, share) == bits


@given(st.integers(1, 12), st.integers(1, 12), st.integers(1, 50), st.integers(0, 2**32 - 1))
def test_nearest_is_that_of_all_distances(n: int, m: int, cells: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    features, others = rng.normal(size=(n, 3)).astype(np.float32), rng.normal(size=(m, 3)).astype(np.float32) + 9
    every = np.linalg.norm(features[:, None].astype(np.float64) - others, axis=2)
    done: list[int] = []
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(copies, "_CELLS", cells)
        distances, rows = copies.nearest(features, others, done.append)
    assert distances == pytest.approx(every.min(axis=1))
    assert every[np.arange(n), rows] == pytest.approx(every.min(axis=1))
    assert sum(done) == n


def test_copies_of_training_images_are_flagged_and_held_out_images_as_often_as_it_says() -> None:
    """5 % of 2,000 draws like the held-out ones lie below the threshold, four standard deviations of 0.5 % allowed.

    Copies with a little noise lie far below.
    """
    rng = np.random.default_rng(2)
    train, held_out, others = (rng.normal(size=(count, 8)) for count in (500, 2000, 2000))
    level = copies.threshold(copies.nearest(held_out, train)[0], 0.05)
    assert 0.0495 < level.level <= 0.05
    flagged = copies.nearest(others, train)[0] < level.distance
    assert flagged.mean() == pytest.approx(0.05, abs=0.028)
    distances, rows = copies.nearest(train[:50] + rng.normal(size=(50, 8)) * 0.01, train)
    assert (distances < level.distance).all()
    assert rows.tolist() == list(range(50))


@pytest.mark.parametrize(
    ("count", "share", "expected"),
    [
        (99, 0.01, Threshold(1, 1 / 100)),
        (199, 0.01, Threshold(2, 2 / 200)),
        (198, 0.01, Threshold(1, 1 / 199)),  # 1.99, rounded down
        (9, 0.01, Threshold(1, 1 / 10)),  # too few: the level says so
        (3, 1, Threshold(3, 3 / 4)),
    ],
)
def test_the_threshold_is_an_order_statistic(count: int, share: float, expected: Threshold) -> None:
    """Of the distances 1, 2, ..., count, in any order."""
    assert copies.threshold(np.random.default_rng(0).permutation(np.arange(1.0, count + 1)), share) == expected


def test_nothing_to_compare_with_is_an_error() -> None:
    none: Any = np.empty((0, 3))
    for call in (
        lambda: copies.nearest(np.zeros((1, 3)), none),
        lambda: copies.threshold(np.empty(0), 0.1),
        lambda: copies.closest(np.zeros(1, np.uint64), np.empty(0, np.uint64)),
        lambda: copies.most_bits(np.empty(0, np.uint8), 0.1),
    ):
        with pytest.raises(DataError, match="no images to compare with"):
            call()
    assert copies.nearest(none, np.zeros((1, 3)))[0].shape == copies.perceptual(pictures(1)[:0]).shape == (0,)
    assert (
        copies.near_within(np.empty(0, np.uint64), 3).tolist() == copies.exact_within(np.empty(0, "S64")).tolist() == []
    )
