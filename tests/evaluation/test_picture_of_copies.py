"""The picture of copies: pairs with training images above, repetitions within the synthetic images below."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.evaluation.likeness import Likeness, Pair
from pipeline.evaluation.sides import Reference, Side
from pipeline.reporting import copies
from tests.evaluation.images import stored


@pytest.fixture
def sides(real: Reference, tmp_path: Path) -> tuple[Side, Reference]:
    """Black synthetic images, of which the second is white, and red training images."""
    labels = np.zeros(2, np.int64)
    black, red = np.zeros((2, 16, 16, 3), np.uint8), np.zeros((2, 16, 16, 3), np.uint8)
    black[1], red[..., 0] = 255, 255
    synthetic, training = (Side.of(stored(tmp_path, labels, pixels), np.arange(2), 3) for pixels in (black, red))
    return synthetic, replace(real, training=training)


def draw(sides: tuple[Side, Reference], pairs: tuple[Pair, ...], repeats: tuple[Pair, ...]) -> Image.Image:
    nothing = np.zeros(3, np.int64)
    counts = (nothing,) * 4
    return copies.draw(*sides, Likeness(*counts, *counts, True, True, pairs, repeats))


def test_every_pair_has_its_images_and_its_mark(sides: tuple[Side, Reference]) -> None:
    """Rows of 66 pixels below 18: two pairs take 150, so after a gap of 12 the second part begins at 162."""
    pairs = (Pair(0, 1, 0, "copy"), Pair(1, 0, 1, "nearest"))
    drawn = draw(sides, pairs, (Pair(0, 0, 1, "equal"),))
    assert drawn.height == 18 + 2 * 66 + 12 + 18 + 66
    left, right = 110, 110 + 66 + 12
    assert [drawn.getpixel((left, y)) for y in (18, 84, 180)] == [(255, 255, 255), (0, 0, 0), (0, 0, 0)]
    assert [drawn.getpixel((right, y)) for y in (18, 84, 180)] == [(255, 0, 0), (255, 0, 0), (255, 255, 255)]
    other = draw(sides, (replace(pairs[0], mark="close"), pairs[1]), (Pair(0, 0, 1, "equal"),))
    assert np.array_equal(np.asarray(other)[84:], np.asarray(drawn)[84:])
    assert not np.array_equal(np.asarray(other)[:84, :110], np.asarray(drawn)[:84, :110])


def test_without_pairs_both_parts_say_none(sides: tuple[Side, Reference]) -> None:
    drawn = draw(sides, (), ())
    assert drawn.height == 18 + 66 + 12 + 18 + 66
    assert np.array_equal(np.asarray(drawn)[18:84], np.asarray(drawn)[114:180])
