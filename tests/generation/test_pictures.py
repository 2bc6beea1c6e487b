import io
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from pipeline.generation.pictures import FAINT, Picture, finish
from pipeline.generation.recipe import Recipe

Levels = NDArray[np.uint8]
FORMATS = [("png", None), ("jpeg", 90), ("webp", 90)]


def scene(side: int = 16) -> Levels:
    """Return smooth colours with some noise, which all formats must work for."""
    ramp = np.linspace(0, 255, side)
    levels = np.stack([np.tile(ramp, (side, 1)), np.tile(ramp[:, None], (1, side)), np.full((side, side), 90)], axis=-1)
    noise = np.random.default_rng(3).normal(0, 12, levels.shape)
    return (levels + noise).clip(0, 255).astype(np.uint8)


def spanning(levels: int, low: int = 100) -> Levels:
    """Return a grey picture with one channel of one pixel brighter by ``levels``."""
    picture = np.full((16, 16, 3), low, np.uint8)
    picture[3, 4, 1] += levels
    return picture


def made(levels: Levels, recipe: Recipe) -> Picture:
    picture = finish(levels, recipe)
    assert picture is not None
    return picture


def opened(picture: Picture) -> Image.Image:
    return Image.open(io.BytesIO(picture.image))


def of_format(recipe: Recipe, image_format: str, quality: int | None) -> Recipe:
    return replace(recipe, image_format=image_format, quality=quality)


@pytest.mark.parametrize(("image_format", "quality"), FORMATS)
@pytest.mark.parametrize("size", [8, 16, 24])
def test_pictures_have_the_recipes_format_and_size(
    recipe: Recipe, image_format: str, quality: int | None, size: int
) -> None:
    picture = opened(made(scene(), replace(of_format(recipe, image_format, quality), image_size=size)))
    assert (picture.format, picture.mode, picture.size) == (image_format.upper(), "RGB", (size, size))
    expected = Image.fromarray(scene()).resize((size, size), Image.Resampling.BICUBIC)
    difference = np.asarray(picture).astype(int) - np.asarray(expected)
    assert abs(difference).mean() < (1e-9 if image_format == "png" else 12)


@pytest.mark.parametrize(("image_format", "quality"), FORMATS)
def test_equal_levels_give_equal_bytes(recipe: Recipe, image_format: str, quality: int | None) -> None:
    chosen = of_format(recipe, image_format, quality)
    assert finish(scene(), chosen) == finish(scene(), chosen)
    assert made(scene(), chosen).image != made(scene()[::-1], chosen).image


def test_a_png_at_the_drawn_size_holds_the_levels_as_they_are(recipe: Recipe) -> None:
    assert np.array_equal(np.asarray(opened(made(scene(), recipe))), scene())


@pytest.mark.parametrize("size", [8, 24])
def test_another_size_is_what_the_lanczos_filter_makes(recipe: Recipe, size: int) -> None:
    found = np.asarray(opened(made(scene(), replace(recipe, image_size=size))))
    drawn = Image.fromarray(scene())
    for kind in Image.Resampling:
        same = np.array_equal(found, np.asarray(drawn.resize((size, size), kind)))
        assert same == (kind is Image.Resampling.BICUBIC), kind


@pytest.mark.parametrize("image_format", ["jpeg", "webp"])
def test_a_lower_quality_gives_a_smaller_and_worse_file(recipe: Recipe, image_format: str) -> None:
    chosen = replace(of_format(recipe, image_format, None), image_size=64)
    files = [made(scene(64), replace(chosen, quality=quality)) for quality in (5, 50, 95)]
    sizes = [len(file.image) for file in files]
    assert sizes[0] < sizes[1] < sizes[2]
    losses = [abs(np.asarray(opened(file)).astype(int) - scene(64)).mean() for file in files]
    assert losses[0] > losses[1] > losses[2]


def test_jpeg_keeps_the_colour_of_every_pixel(recipe: Recipe) -> None:
    """Columns of red and blue in turn: with colour at half resolution both would be purple."""
    levels = np.zeros((16, 16, 3), np.uint8)
    levels[:, ::2, 0] = levels[:, 1::2, 2] = 200
    found = np.asarray(opened(made(levels, of_format(recipe, "jpeg", 95)))).astype(int)
    assert (found[:, ::2, 0] - found[:, ::2, 2]).min() > 150
    assert (found[:, 1::2, 2] - found[:, 1::2, 0]).min() > 150


@pytest.mark.parametrize("low", [0, 100, 251])
def test_levels_within_four_show_nothing_and_five_do(recipe: Recipe, low: int) -> None:
    assert finish(spanning(0, low), recipe) is None
    assert finish(spanning(4, low), recipe) is None
    if low < 251:
        assert np.asarray(opened(made(spanning(5, low), recipe))).max() == low + 5


@pytest.mark.parametrize(("levels", "flags"), [(5, FAINT), (31, FAINT), (32, ""), (120, "")])
def test_pictures_of_little_contrast_are_flagged(recipe: Recipe, levels: int, flags: str) -> None:
    """In every format and size alike: it is the drawn levels that count."""
    for image_format, quality in FORMATS:
        for size in (4, 16):
            chosen = replace(of_format(recipe, image_format, quality), image_size=size)
            assert made(spanning(levels), chosen).flags == flags


def test_one_colour_that_is_not_grey_shows_nothing(recipe: Recipe) -> None:
    levels = np.zeros((16, 16, 3), np.uint8)
    levels[:] = (200, 0, 90)
    assert finish(levels, recipe) is None
    levels[3, 3] = (200, 5, 90)
    assert finish(levels, recipe) is not None
