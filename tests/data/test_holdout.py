"""A test split made of a share of each class."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.data import holdout, images
from pipeline.errors import DataError
from tests.data import reading

Classes = st.lists(st.integers(0, 40), min_size=1, max_size=6).filter(lambda counts: sum(counts) > 0)


@given(Classes, st.floats(0.01, 0.99), st.integers(0, 9))
def test_each_class_gives_its_share_and_keeps_one(counts: list[int], share: float, seed: int) -> None:
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    texts = tuple(f"class {label}" for label in range(len(counts)))
    try:
        held = holdout.draw(labels, texts, share, seed)
    except DataError:
        assert sum(min(round(count * share), max(count - 1, 0)) for count in counts) <= len(counts)
        return
    given_up = np.bincount(labels[held], minlength=len(counts))
    exact = np.array(counts) * share
    assert (np.abs(given_up - exact) < 1)[np.array(counts) > exact + 1].all()
    assert (np.array(counts)[np.array(counts) > 0] - given_up[np.array(counts) > 0] >= 1).all()
    assert given_up.sum() <= round(exact.sum())
    if all(count - 1 >= np.ceil(count * share) for count in counts):
        assert given_up.sum() == round(exact.sum())
    assert np.array_equal(held, holdout.draw(labels, texts, share, seed))


def test_the_largest_remainders_round_up() -> None:
    """Shares of 0.3: 10 gives 3, 9 gives 2.7, 4 gives 1.2; of 6.9, which is 7, the one more is of the second."""
    labels = np.repeat([0, 1, 2], [10, 9, 4])
    held = holdout.draw(labels, ("a", "b", "c"), 0.3, 0)
    assert np.bincount(labels[held]).tolist() == [3, 3, 1]
    other = holdout.draw(labels, ("a", "b", "c"), 0.3, 1)
    assert not np.array_equal(held, other)


def folder(path: Path) -> Path:
    colours = [(i, 0, 0) for i in range(20)]
    return reading.table(path / "train.parquet", [reading.png(colour) for colour in colours], [0] * 10 + [1] * 10)


def test_both_parts_are_rows_of_one_split(tmp_path: Path) -> None:
    chosen: dict[str, Any] = {"test": None, "holdout": 0.2, "holdout_seed": 3}
    params = reading.params(folder(tmp_path), **chosen)
    train, test = images.load(params, "train"), images.load(params, None)
    assert sorted([*train.split_rows, *test.split_rows]) == list(range(20))
    assert (len(train), len(test)) == (16, 4)
    assert np.bincount(test.labels).tolist() == [2, 2]
    for part in (train, test):
        assert part.pixels(range(len(part)))[:, 0, 0, 0].tolist() == part.split_rows.tolist()
        assert part.labels.tolist() == (part.split_rows >= 10).astype(int).tolist()
        assert part.name(0) == f"train.parquet row {part.split_rows[0]}"
        assert part.column("label").tolist() == part.labels.tolist()
    assert train.pictures_digest == test.pictures_digest
    assert train.fingerprint != test.fingerprint
    assert np.array_equal(train.whole().labels, test.whole().labels)
    again = images.load(reading.params(folder(tmp_path), **{**chosen, "holdout_seed": 4}), None)
    assert again.fingerprint != test.fingerprint


def test_a_share_that_is_no_image(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"a share of 0.01 of 20 images is no image: params.yaml, data.holdout: hold out"
    ):
        images.load(reading.params(folder(tmp_path), test=None, holdout=0.01), None)
