"""Finish what the model drew: refuse what shows nothing, resize, encode."""

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.data import resize
from pipeline.generation.recipe import Recipe

_FLAT = 4  # a picture whose levels (0 to 255) lie within this range, in each channel, shows nothing
_FAINT = 32  # and within this range little
FAINT = "faint"


@dataclass(frozen=True, slots=True)
class Picture:
    """An encoded image, and remarks on its quality."""

    image: bytes
    flags: str = ""
    """``faint`` if its levels span less than an eighth of the range, else empty."""


def finish(levels: NDArray[np.uint8], recipe: Recipe) -> Picture | None:
    """Encode levels (H, W, 3) at the stored size; None if they show one colour."""
    contrast = int((levels.max((0, 1)) - levels.min((0, 1))).max())
    if contrast <= _FLAT:
        return None
    picture = resize.fit(Image.fromarray(levels), recipe.image_size)
    buffer = io.BytesIO()
    # Full-resolution colour: with the usual subsampling small JPEG images would lose most of theirs.
    options = {"png": {}, "jpeg": {"subsampling": 0}, "webp": {}}[recipe.image_format]
    quality = {} if recipe.quality is None else {"quality": recipe.quality}
    picture.save(buffer, recipe.image_format, **options, **quality)
    return Picture(buffer.getvalue(), FAINT if contrast < _FAINT else "")
