"""Every mode of picture as RGB, beside what an independent computation says; and what cannot be one."""

import struct
import threading
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageCms, PngImagePlugin

from pipeline.data import pictures
from pipeline.errors import DataError
from tests.data import files

RAMP = np.tile(np.linspace(0, 65535, 16).astype(np.uint16), (16, 1))


def decoded(content: bytes, background: str = "white") -> NDArray[np.int64]:
    return np.asarray(pictures.decode(content, background).image).astype(np.int64)


def grey(levels: NDArray[Any]) -> NDArray[np.int64]:
    """Return grey levels (H, W) as RGB."""
    return np.repeat(np.rint(levels).astype(np.int64)[:, :, None], 3, 2)


def laid(colours: NDArray[Any], alpha: NDArray[Any], background: tuple[int, int, int]) -> NDArray[np.float64]:
    """Return colours (H, W, 3) on a background, by alpha (H, W)."""
    share = alpha[:, :, None] / 255
    return colours * share + np.array(background) * (1 - share)


def test_a_16_bit_ramp_is_a_ramp_in_every_format_that_holds_it() -> None:
    """Steps of 65535 / 15 are steps of 17."""
    expected = grey(np.tile(np.arange(0, 256, 17), (16, 1)))
    ramp = Image.fromarray(RAMP)
    for content in [files.encoded(ramp, name) for name in ("PNG", "TIFF", "JPEG2000", "PPM")]:
        assert np.array_equal(decoded(content), expected)


@pytest.mark.parametrize(("bits", "photometric", "order"), [(12, 1, "<"), (16, 1, "<"), (16, 1, ">"), (16, 0, "<")])
def test_grey_tiff_is_scaled_by_its_bits(bits: int, photometric: int, order: str) -> None:
    levels = np.random.default_rng(bits).integers(0, 1 << bits, (5, 8)).astype(np.uint16)
    levels[0, :2] = 0, (1 << bits) - 1
    shares = levels / ((1 << bits) - 1)
    expected = grey(255 * (shares if photometric else 1 - shares))
    assert np.abs(decoded(files.tiff(levels, bits, photometric, order)) - expected).max() <= (0 if photometric else 1)


@pytest.mark.parametrize("top", [255, 1023, 4095, 65535])
def test_a_pgm_is_scaled_by_its_maximum(top: int) -> None:
    levels = np.random.default_rng(top).integers(0, top + 1, (3, 4))
    content = f"P5 4 3 {top}\n".encode() + levels.astype(">u2" if top > 255 else "u1").tobytes()
    assert np.abs(decoded(content) - grey(255 * levels / top)).max() <= 1


Levels = st.integers(0, 2**32 - 1).map(np.random.default_rng)
Sides = st.tuples(st.integers(1, 6), st.integers(1, 6))
Colours = st.sampled_from([("white", (255, 255, 255)), ("red", (255, 0, 0)), ("#102030", (16, 32, 48))])


@given(Levels, Sides, st.sampled_from([1, 2, 4, 8, 16]), st.booleans(), Colours)
def test_grey_png_of_every_depth(
    rng: np.random.Generator, sides: tuple[int, int], depth: int, keyed: bool, colour: tuple[str, tuple[int, int, int]]
) -> None:
    """A level that the file calls transparent shows the background, and no other does."""
    levels = rng.integers(0, 1 << depth, sides)
    key = int(levels[0, 0])
    chunks = [(b"tRNS", struct.pack(">H", key))] if keyed else []
    alpha = np.where(levels == key, 0, 255) if keyed else np.full(sides, 255)
    expected = laid(grey(255 * levels / ((1 << depth) - 1)), alpha, colour[1])
    assert np.array_equal(decoded(files.png(levels, depth, *chunks), colour[0]), expected)


@given(Levels, Sides, st.sampled_from([2, 3, 4]), st.sampled_from([8, 16]), st.booleans(), Colours)
def test_png_of_colours_and_alpha(
    rng: np.random.Generator,
    sides: tuple[int, int],
    channels: int,
    depth: int,
    keyed: bool,
    colour: tuple[str, tuple[int, int, int]],
) -> None:
    """Of 16 bits a channel, Pillow keeps the higher 8."""
    levels = rng.integers(0, 1 << depth, (*sides, channels))
    seen = levels >> (depth - 8)
    alpha = seen[:, :, -1] if channels != 3 else np.full(sides, 255)
    chunks = []
    if channels == 3 and keyed:
        chunks = [(b"tRNS", struct.pack(">HHH", *levels[0, 0].tolist()))]
        alpha = np.where((seen == seen[0, 0]).all(2), 0, 255)
    expected = laid(seen[:, :, :3] if channels > 2 else grey(seen[:, :, 0]), alpha, colour[1])
    found = decoded(files.png(levels, depth, *chunks), colour[0])
    assert np.abs(found - expected).max() <= 1  # alpha is blended in integers


@given(Levels, Sides, st.sampled_from([1, 2, 4, 8]), st.booleans(), Colours)
def test_png_with_a_palette(
    rng: np.random.Generator, sides: tuple[int, int], depth: int, keyed: bool, colour: tuple[str, tuple[int, int, int]]
) -> None:
    palette, alphas = rng.integers(0, 256, (1 << depth, 3)), rng.integers(0, 256, 1 << depth)
    indices = rng.integers(0, 1 << depth, sides)
    chunks = [(b"PLTE", palette.astype(np.uint8).tobytes())]
    chunks += [(b"tRNS", alphas.astype(np.uint8).tobytes())] if keyed else []
    alpha = alphas[indices] if keyed else np.full(sides, 255)
    expected = laid(palette[indices], alpha, colour[1])
    assert np.abs(decoded(files.png(indices, depth, *chunks, palette=True), colour[0]) - expected).max() <= 1


@given(Levels, Sides)
def test_cmyk_and_ycbcr(rng: np.random.Generator, sides: tuple[int, int]) -> None:
    """Ink takes away light; and the conversion of JFIF."""
    inks = rng.integers(0, 256, (*sides, 4)).astype(np.uint8)
    expected = (255 - inks[:, :, :3].astype(float)) * (255 - inks[:, :, 3:].astype(float)) / 255
    found = decoded(files.encoded(Image.fromarray(inks, "CMYK"), "TIFF"))
    assert np.abs(found - expected).max() <= 1
    levels = rng.integers(0, 256, (*sides, 3)).astype(np.uint8)
    y, cb, cr = (levels[:, :, i].astype(float) - (128 if i else 0) for i in range(3))
    colours = np.stack([y + 1.402 * cr, y - 0.344136 * cb - 0.714136 * cr, y + 1.772 * cb], 2)
    found = decoded(files.encoded(Image.fromarray(levels, "YCbCr"), "TIFF"))
    assert np.abs(found - np.clip(colours, 0, 255)).max() <= 2


@pytest.mark.parametrize("name", ["PNG", "TIFF", "WEBP", "TGA", "JPEG2000", "ICO"])
def test_transparency_of_every_format_that_has_it(name: str) -> None:
    """Formats keep no colour where nothing is seen of it, so alpha is at least 1."""
    levels = np.random.default_rng(4).integers(0, 256, (16, 16, 4)).astype(np.uint8)
    levels[:, :, 3] = np.maximum(levels[:, :, 3], 1)
    options: dict[str, dict[str, Any]] = {"WEBP": {"lossless": True, "exact": True}, "ICO": {"sizes": [(16, 16)]}}
    content = files.encoded(Image.fromarray(levels), name, **options.get(name, {}))
    expected = laid(levels[:, :, :3], levels[:, :, 3], (0, 0, 255))
    assert np.abs(decoded(content, "blue") - expected).max() <= 1


def test_ink_in_a_jpeg_is_not_inverted() -> None:
    """Adobe's files count light where others count ink."""
    plain = np.full((16, 16, 4), (255, 0, 0, 0), np.uint8)  # cyan
    found = decoded(files.encoded(Image.fromarray(plain, "CMYK"), "JPEG", quality=100))
    assert np.abs(found - np.array([0, 255, 255])).max() <= 3


def test_a_transparent_colour_of_a_gif() -> None:
    picture = Image.fromarray(np.array([[0, 1], [2, 0]], np.uint8), "P")
    picture.putpalette([9, 9, 9, 255, 0, 0, 0, 255, 0])
    found = decoded(files.encoded(picture, "GIF", transparency=0), "blue")
    assert found.tolist() == [[[0, 0, 255], [255, 0, 0]], [[0, 255, 0], [0, 0, 255]]]


def test_lab() -> None:
    """Colours of sRGB come back; L alone is grey."""
    colours = Image.fromarray(np.array([[[255, 255, 255], [0, 0, 0], [200, 30, 60], [20, 120, 220]]], np.uint8))
    profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    lab = ImageCms.profileToProfile(colours, *profiles, outputMode="LAB")
    assert lab is not None
    assert np.abs(decoded(files.encoded(lab, "TIFF")) - np.asarray(colours).astype(int)).max() <= 6


def test_floating_point_and_32_bit_pictures_are_refused_by_name() -> None:
    for levels, kind in ((np.ones((2, 2), np.float32), "floating-point"), (np.ones((2, 2), np.int32), "32-bit")):
        with pytest.raises(DataError, match=f"^{kind}.* numbers .* whose range is not known: .*save it with 8 bits"):
            pictures.decode(files.encoded(Image.fromarray(levels), "TIFF"))


@pytest.mark.parametrize("name", ["PNG", "JPEG", "TIFF", "WEBP"])
def test_exif_orientation_is_applied_once(name: str) -> None:
    """Orientation 6: the camera was turned, so the left column is the upper line."""
    picture = Image.new("RGB", (16, 8), "white")
    picture.paste("black", (0, 0, 8, 8))
    exif = Image.Exif()
    exif[274] = 6
    found = pictures.decode(files.encoded(picture, name, exif=exif))
    assert found.size == (8, 16)
    shown = np.asarray(found.image)
    assert shown[:6].max() < 60
    assert shown[10:].min() > 195


def test_damaged_exif_data_is_no_reason_to_lose_a_picture() -> None:
    content = files.encoded(Image.new("RGB", (4, 4), "red"), "PNG", exif=b"Exif\0\0no TIFF at all")
    assert decoded(content)[0, 0].tolist() == [255, 0, 0]


def test_the_first_frame_counts_and_the_others_are_told() -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "lime")]
    for name in ("GIF", "TIFF", "WEBP", "PNG"):
        found = pictures.decode(files.encoded(frames[0], name, save_all=True, append_images=frames[1:], lossless=True))
        assert found.animated
        assert np.asarray(found.image)[0, 0].tolist() == [255, 0, 0]
    assert not pictures.decode(files.encoded(frames[0], "GIF")).animated


def test_a_long_text_in_a_sound_png_is_ignored() -> None:
    remark = PngImagePlugin.PngInfo()
    remark.add_text("comment", "x" * 2_000_000, zip=True)
    content = files.encoded(Image.new("RGB", (4, 4), "red"), pnginfo=remark)
    assert decoded(content)[0, 0].tolist() == [255, 0, 0]


def noise(name: str) -> bytes:
    pixels = np.random.default_rng(1).integers(0, 256, (32, 32, 3)).astype(np.uint8)
    return files.encoded(Image.fromarray(pixels), name)


@pytest.mark.parametrize("name", ["PNG", "JPEG", "GIF", "TIFF", "WEBP", "BMP", "JPEG2000", "AVIF", "TGA", "PCX", "ICO"])
def test_half_a_file_is_one_short_line(name: str) -> None:
    content = noise(name)
    for share in (0.0, 0.02, 0.3, 0.5):
        with pytest.raises(DataError) as caught:
            pictures.decode(content[: int(len(content) * share)])
        assert len(caught.value.what) <= 200
        assert " at 0x" not in str(caught.value)


@given(st.sampled_from(["PNG", "JPEG", "GIF", "TIFF", "BMP", "WEBP"]), st.data())
def test_any_damage_is_a_picture_or_one_line(name: str, data: st.DataObject) -> None:
    content = bytearray(noise(name))
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    with suppress(DataError):
        assert pictures.decode(bytes(content)).image.mode == "RGB"


def test_formats_that_call_other_programs_are_not_opened() -> None:
    """Encapsulated PostScript would call Ghostscript."""
    postscript = files.encoded(Image.new("RGB", (4, 4)), "EPS")
    with pytest.raises(DataError, match="not a picture, or of a format that is not read"):
        pictures.decode(postscript)
    assert not {".eps", ".ps", ".pdf", ".wmf", ".emf", ".mpg", ".h5", ".txt"} & pictures.suffixes()
    assert {".png", ".jpg", ".jpeg", ".jfif", ".tif", ".gif", ".ppm", ".webp", ".bmp", ".mpo"} <= pictures.suffixes()


def test_the_declared_size_is_checked_before_anything_is_decoded() -> None:
    """A few bytes that declare 2.5 thousand million pixels."""
    with pytest.raises(DataError, match="2500000000 pixels"):
        pictures.decode(b"P5 50000 50000 255\n")


def test_arrays_of_pixels() -> None:
    levels = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    assert np.asarray(pictures.from_array(levels[:, :, :3]).image).tolist() == levels[:, :, :3].tolist()
    assert np.array_equal(np.asarray(pictures.from_array(levels[:, :, 0]).image), grey(levels[:, :, 0]))
    assert pictures.from_array(levels[:, :, :1]).sha256 == pictures.from_array(levels[:, :, 0]).sha256
    assert np.asarray(pictures.from_array(levels).image).min() > 200  # nearly transparent, on white
    for shape in ((3, 8, 8), (8,), (2, 2, 2), (0, 4)):
        with pytest.raises(DataError, match=r"an array of shape .*: write \(height, width\)"):
            pictures.from_array(np.zeros(shape, np.uint8))


def test_threads_may_decode_together() -> None:
    content, found = noise("PNG"), []
    threads = [threading.Thread(target=lambda: found.append(decoded(content).sum())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len(set(found)) == 1
