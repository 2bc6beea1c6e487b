"""Pictures of every mode that Pillow has, as RGB: each scaled by its real range, transparency laid on a background."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageColor, TiffImagePlugin
from PIL.ExifTags import Base

from pipeline.errors import DataError

_DEEP = ("I;16", "I;16L", "I;16B", "I;16N")
_MAXIMUM = 65535
_WHITE_IS_ZERO = 0
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What brings a picture upright, by its EXIF orientation."""


def to_rgb(picture: Image.Image, background: str) -> Image.Image:
    """Return a loaded picture as RGB, upright, without transparency.

    16-bit grey counts from 0 to 65535, or to what a TIFF's bits a sample can hold. Raises DataError for pictures whose
    range no mode tells: floating-point and 32-bit numbers.
    """
    turn = _TURNS.get(_orientation(picture))
    if picture.mode in _DEEP or (picture.mode == "I" and picture.format == "PPM"):
        picture = _grey(picture)
    if picture.mode in ("F", "I"):
        kind = "floating-point" if picture.mode == "F" else "32-bit or signed"
        raise DataError(
            f"{kind} numbers (mode {picture.mode}), whose range is not known", "a picture", "save it with 8 bits"
        )
    if picture.mode == "LAB":
        profiles = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        converted = ImageCms.profileToProfile(picture, *profiles, outputMode="RGB")
        assert converted is not None
        picture = converted
    result = _on_background(picture, background) if picture.has_transparency_data else picture.convert("RGB")
    return result if turn is None else result.transpose(turn)


def scale_transparency(picture: Image.Image, stored: object) -> None:
    """Bring the transparent level of a PNG, whose pixels are ``stored`` so, to the 8 bits that Pillow made of them.

    Pillow scales the pixels and leaves the level, so that none is transparent, or another one.
    """
    level = picture.info.get("transparency")
    if isinstance(level, int) and stored in ("L;2", "L;4"):
        picture.info["transparency"] = level * (85 if stored == "L;2" else 17)
    elif isinstance(level, tuple) and stored == "RGB;16B":
        picture.info["transparency"] = tuple(channel >> 8 for channel in level)


def _orientation(picture: Image.Image) -> int:
    """Return the EXIF orientation of a loaded picture; 1, as it is, where EXIF data is absent or damaged."""
    try:
        return int(picture.getexif().get(Base.Orientation, 1))
    except Exception:  # whatever Pillow raises of damaged EXIF data: viewers show such a picture as it is
        return 1


def _on_background(picture: Image.Image, background: str) -> Image.Image:
    above = picture.convert("RGBA")
    below = Image.new("RGBA", above.size, (*ImageColor.getrgb(background)[:3], 255))
    return Image.alpha_composite(below, above).convert("RGB")


def _grey(picture: Image.Image) -> Image.Image:
    """Return 16-bit grey as 8-bit grey, with transparency (mode LA) if one level is transparent."""
    levels = np.asarray(picture).astype(np.int64)
    top, inverted = _range(picture)
    scaled = ((np.clip(levels, 0, top) * 255 + top // 2) // top).astype(np.uint8)
    grey = Image.fromarray(255 - scaled if inverted else scaled)
    transparent = picture.info.get("transparency")
    if not isinstance(transparent, int):
        return grey
    opaque: NDArray[np.uint8] = np.where(levels == transparent, 0, 255).astype(np.uint8)
    return Image.merge("LA", (grey, Image.fromarray(opaque)))


def _range(picture: Image.Image) -> tuple[int, bool]:
    """Return the highest level that a picture's format allows, and whether it is black rather than white."""
    if not isinstance(picture, TiffImagePlugin.TiffImageFile):
        return _MAXIMUM, False
    bits = picture.tag_v2.get(TiffImagePlugin.BITSPERSAMPLE, (16,))[0]
    photometric = picture.tag_v2.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION, 1)
    return (1 << int(bits)) - 1, photometric == _WHITE_IS_ZERO
