from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.data import arrays
from pipeline.data.arrays import Stored
from pipeline.federated.local import Augmented
from pipeline.fills import transforms
from pipeline.params import FillParams

STILL = np.zeros(1)
PLAIN = FillParams()


@pytest.fixture
def real(tmp_path: Path) -> Stored:
    """Labels 0, 0, 1, 1, 2; the pixels are random, so that no two pictures are alike."""
    labels = np.array([0, 0, 1, 1, 2])
    pixels = np.random.default_rng(1).integers(40, 200, (5, 16, 16, 3), dtype=np.uint8)
    return arrays.store(tmp_path, "five", labels, 16, lambda: [pixels])


def test_a_shift_by_hand_reflects_the_border() -> None:
    """0 1 2 3 moved to the right by one is 1 0 1 2, and down by two the rows 0 1 2 3 are 2 1 0 1."""
    image = np.arange(4, dtype=np.uint8)[None, None, :, None] * np.ones((1, 4, 1, 3), np.uint8)
    right = transforms.moved(image, STILL, np.array([[1, 0]]))
    assert right[0, :, :, 0].tolist() == [[1, 0, 1, 2]] * 4
    down = transforms.moved(image.transpose(0, 2, 1, 3).copy(), STILL, np.array([[0, 2]]))
    assert down[0, :, 0, 2].tolist() == [2, 1, 0, 1]


def test_a_quarter_turn_by_hand() -> None:
    """0 1 over 2 3, times 10, turned against the clock is 1 3 over 0 2."""
    image = np.array([[0, 10], [20, 30]], np.uint8)[None, :, :, None] * np.ones((1, 1, 1, 3), np.uint8)
    turned = transforms.moved(image, np.array([90.0]), np.zeros((1, 2), np.int64))
    assert turned[0, :, :, 0].tolist() == [[10, 30], [0, 20]]


def test_shifts_are_those_of_augment(real: Stored) -> None:
    """What ``train.augment: shift`` makes of an image is a shift of it by up to an eighth, to the byte."""
    image = real.pixels[:1].copy()
    moves = np.array([(x, y) for x in range(-2, 3) for y in range(-2, 3)])
    shifted = transforms.moved(np.repeat(image, 25, axis=0), np.zeros(25), moves)
    known = {each.tobytes() for each in shifted}

    class Whole:
        def __len__(self) -> int:
            return 1

        def take(self, rows: torch.Tensor) -> torch.Tensor:
            return torch.from_numpy(image)[rows]

    made = Augmented(Whole(), 3, mirror=False).take(torch.zeros(40, dtype=torch.int64)).numpy()
    assert {each.tobytes() for each in made} <= known


def test_copies_are_labelled_changed_and_without_a_border(real: Stored, tmp_path: Path) -> None:
    """Levels are means of those of the original, so none is beyond its range: black would be."""
    chosen = np.array([4, 0, 0, 0, 2, 2])
    made = transforms.transformed(tmp_path, real, chosen, 3, PLAIN)
    assert made.labels.tolist() == [2, 0, 0, 0, 1, 1]
    assert len({image.tobytes() for image in (*made.pixels, *real.pixels)}) == 6 + 5
    for image, row in zip(made.pixels, chosen, strict=True):
        original = real.pixels[row]
        assert original.min() <= image.min()
        assert image.max() <= original.max()


def test_one_colour_stays_one_colour(tmp_path: Path) -> None:
    grey = arrays.store(tmp_path, "grey", np.zeros(1, np.int64), 8, lambda: [np.full((1, 8, 8, 3), 77, np.uint8)])
    assert (transforms.transformed(tmp_path, grey, np.zeros(20, np.int64), 3, PLAIN).pixels == 77).all()


def test_equal_arguments_give_equal_bytes_in_another_cache(real: Stored, tmp_path: Path) -> None:
    """Whatever is computed at once; another seed or another choice is another array."""
    chosen = np.array([0, 1, 0, 4])
    first = transforms.transformed(tmp_path, real, chosen, 3, PLAIN)
    again = transforms.transformed(tmp_path / "another", real, chosen, 3, PLAIN)
    assert again.path != first.path
    assert np.array_equal(again.pixels, first.pixels)
    other = transforms.transformed(tmp_path, real, chosen, 4, PLAIN)
    assert not np.array_equal(other.pixels, first.pixels)
    assert (
        len({first.path, other.path, transforms.transformed(tmp_path, real, chosen[::-1].copy(), 3, PLAIN).path}) == 3
    )


def test_chunks_change_no_byte(real: Stored, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = np.array([0, 1, 0, 4, 2])
    whole = transforms.transformed(tmp_path, real, chosen, 3, PLAIN)
    monkeypatch.setattr(transforms, "_AT_ONCE", 2 * 16**2)
    assert np.array_equal(transforms.transformed(tmp_path / "another", real, chosen, 3, PLAIN).pixels, whole.pixels)


def test_mirrored_copies_are_those_of_mirrored_pictures(real: Stored, tmp_path: Path) -> None:
    """About half of 200 copies; the others are what they are without mirroring. They turn and shift alike."""
    chosen = np.resize(np.arange(5), 200)
    plain = transforms.transformed(tmp_path, real, chosen, 3, PLAIN).pixels
    both = transforms.transformed(tmp_path, real, chosen, 3, FillParams(mirror=True)).pixels
    flipped = arrays.store(tmp_path, "flipped", real.labels, 16, lambda: [real.pixels[:, :, ::-1]])
    other = transforms.transformed(tmp_path, flipped, chosen, 3, PLAIN).pixels
    is_plain, is_other = ((both == one).all(axis=(1, 2, 3)) for one in (plain, other))
    assert (is_plain != is_other).all()
    assert 70 < is_other.sum() < 130


def test_mixup_blends_copies_of_one_label(real: Stored, tmp_path: Path) -> None:
    """Each level is between those of the two copies, rounded, and labels stay."""
    more, chosen = np.array([[3, 0, 1], [0, 2, 0]]), np.array([0, 1, 0, 4, 2, 3])
    partner = transforms.partners(more, 3)
    assert partner[3] == 3
    assert sorted(partner[:3].tolist()) == [0, 1, 2]
    assert (partner[[0, 1, 2, 4, 5]] != [0, 1, 2, 4, 5]).all()
    plain = transforms.transformed(tmp_path, real, chosen, 3, PLAIN)
    mixed = transforms.transformed(tmp_path, real, chosen, 3, FillParams(mixup=0.4), partner)
    assert mixed.labels.tolist() == plain.labels.tolist() == real.labels[chosen[partner]].tolist()
    one, other = plain.pixels, plain.pixels[partner]
    assert (np.minimum(one, other) <= mixed.pixels).all()
    assert (mixed.pixels <= np.maximum(one, other)).all()
    assert np.array_equal(mixed.pixels[3], one[3])
    assert not any(np.array_equal(mixed.pixels[i], one[i]) for i in (0, 1, 2))


def test_a_blend_by_hand() -> None:
    """A quarter of 100 and three quarters of 40 are 55."""
    one, other = (np.full((1, 2, 2, 3), level, np.uint8) for level in (100, 40))
    assert (transforms.blend(one, other, np.array([0.25])) == 55).all()
