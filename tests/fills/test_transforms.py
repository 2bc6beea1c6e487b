from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.data import arrays
from pipeline.data.arrays import Stored
from pipeline.fills import transforms


@pytest.fixture
def real(tmp_path: Path) -> Stored:
    """Client 0: labels 0, 0, 1; client 1: labels 1, 2. Image i has level 40 x (i + 1), all over."""
    labels = np.array([0, 0, 1, 1, 2])
    pixels = (np.arange(1, 6) * 40).astype(np.uint8)[:, None, None, None] * np.ones((1, 8, 8, 3), np.uint8)
    return arrays.store(tmp_path, "five", labels, 8, lambda: [pixels])


COUNTS = np.array([[2, 1, 0], [0, 1, 1]])
ROWS = np.arange(5)


def test_sources_by_hand() -> None:
    """Client 0 lacks 3 of label 0 (its rows 0, 1, then 0 again) and 1 of label 1 (row 2), and cannot fill label 2.

    Client 1 cannot fill label 0 and lacks 2 of label 2 (row 4, twice).
    """
    missing = np.array([[3, 1, 5], [4, 0, 2]])
    chosen = transforms.originals(COUNTS, missing, np.array([0, 0, 1, 1, 2]))
    assert chosen.tolist() == [0, 1, 0, 2, 4, 4]


def test_nothing_missing() -> None:
    assert transforms.originals(COUNTS, COUNTS * 0, np.array([0, 0, 1, 1, 2])).tolist() == []


@settings(max_examples=40)
@given(st.integers(1, 4), st.integers(0, 10**6))
def test_every_extra_image_comes_from_its_own_client_and_label(clients: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    counts, missing = rng.integers(0, 4, (clients, 3)), rng.integers(0, 5, (clients, 3))
    owners = np.repeat(np.arange(clients), counts.sum(axis=1))
    labels = np.concatenate([rng.permutation(np.repeat(np.arange(3), row)) for row in counts])
    chosen = transforms.originals(counts, missing, labels)
    possible = np.where(counts > 0, missing, 0)
    expected = [
        (client, label) for client in range(clients) for label in range(3) for _ in range(possible[client, label])
    ]
    assert list(zip(owners[chosen].tolist(), labels[chosen].tolist(), strict=True)) == expected
    uses = np.bincount(chosen, minlength=len(labels))
    for client in range(clients):
        for label in range(3):
            own = uses[(owners == client) & (labels == label)]
            assert not len(own) or own.max() - own.min() <= 1


def test_extra_images_are_labelled_changed_and_repeatable(real: Stored, tmp_path: Path) -> None:
    """A one-coloured picture keeps its level; a crop over the border or a rotation brings in black."""
    missing = np.array([[6, 6, 0], [0, 0, 6]])
    made = transforms.transformed(tmp_path, real, ROWS, COUNTS, missing, 3)
    assert made.labels.tolist() == [0] * 6 + [1] * 6 + [2] * 6
    levels = np.array([40, 80] * 3 + [120] * 6 + [200] * 6)
    assert made.pixels.max(axis=(1, 2, 3)).tolist() == levels.tolist()
    assert len({image.tobytes() for image in made.pixels}) > 6
    assert (made.pixels == 0).any()
    assert transforms.transformed(tmp_path, real, ROWS, COUNTS, missing, 4).path != made.path


def test_equal_arguments_give_equal_bytes_in_another_cache(real: Stored, tmp_path: Path) -> None:
    missing = np.array([[6, 0, 0], [0, 0, 0]])
    first = transforms.transformed(tmp_path, real, ROWS, COUNTS, missing, 3)
    torch.manual_seed(99)
    before = torch.random.get_rng_state()
    again = transforms.transformed(tmp_path / "another", real, ROWS, COUNTS, missing, 3)
    assert again.path != first.path
    assert np.array_equal(again.pixels, first.pixels)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert not np.array_equal(transforms.transformed(tmp_path, real, ROWS, COUNTS, missing, 4).pixels, first.pixels)


def test_rows_lie_where_the_partition_says(real: Stored, tmp_path: Path) -> None:
    """Client 0 holds rows 4 and 0 of the array, client 1 rows 3 and 2: levels 200, 40 and 160, 120."""
    rows, counts = np.array([4, 0, 3, 2]), np.array([[1, 0, 1], [0, 2, 0]])
    made = transforms.transformed(tmp_path, real, rows, counts, np.array([[1, 9, 2], [9, 3, 9]]) * (counts > 0), 3)
    assert made.labels.tolist() == [0, 2, 2, 1, 1, 1]
    assert made.pixels.max(axis=(1, 2, 3)).tolist() == [40, 200, 200, 160, 120, 160]
