import numpy as np
import pytest
from PIL import Image

from pipeline.data.resize import fit


def noise(height: int, width: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(1).integers(0, 256, (height, width, 3)).astype(np.uint8))


def test_a_picture_of_the_size_stays_as_it_is() -> None:
    picture = noise(8, 8)
    assert fit(picture, 8) is picture


def test_shrinking_averages_what_it_leaves_out() -> None:
    """A board of black and white pixels becomes grey; picking every eighth pixel would leave black or white."""
    board = np.indices((64, 64)).sum(axis=0) % 2 * 255
    grey = np.asarray(fit(Image.fromarray(np.repeat(board[..., None], 3, 2).astype(np.uint8)), 8))
    assert grey[2:6, 2:6].min() > 120
    assert grey[2:6, 2:6].max() < 136


@pytest.mark.parametrize(("height", "width", "box"), [(20, 32, (6, 0, 26, 20)), (32, 20, (0, 6, 20, 26))])
def test_the_middle_square_is_taken(height: int, width: int, box: tuple[int, int, int, int]) -> None:
    picture = noise(height, width)
    expected = picture.crop(box).resize((10, 10), Image.Resampling.BICUBIC)
    difference = np.asarray(fit(picture, 10)).astype(int) - np.asarray(expected).astype(int)
    assert np.abs(difference[2:-2, 2:-2]).max() <= 1  # nearer to the border, pixels outside the square count too


def test_square_pictures_are_resized_as_a_whole() -> None:
    picture = noise(24, 24)
    assert fit(picture, 10).tobytes() == picture.resize((10, 10), Image.Resampling.BICUBIC).tobytes()
