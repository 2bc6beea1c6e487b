"""The one strict opener of picture files: known formats, checked sizes, no other program, one short reason if it fails.

A picture file is data from a stranger: only its bytes are read, never a path or an address in it.
"""

import hashlib
import io
import struct
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from pipeline.data import modes
from pipeline.errors import DataError

FORMATS = (
    *("AVIF", "BMP", "DDS", "DIB", "GIF", "ICNS", "ICO", "JPEG", "JPEG2000", "PCX", "PNG"),
    *("PPM", "PSD", "QOI", "SGI", "TGA", "TIFF", "WEBP", "XBM", "XPM"),
)
"""Pillow's names of what is opened: formats of pictures that it decodes itself, with no other program."""

MOST_PIXELS = 178_956_970
"""Pixels that a picture may declare: Pillow's own limit against files that fill the memory."""

_REPAIR = "repair or remove it"
_PNG_START = b"\x89PNG\r\n\x1a\n"
_PNG_REMARKS = (b"tEXt", b"zTXt", b"iTXt", b"iCCP")


@dataclass(frozen=True)
class Picture:
    """A decoded picture, and what it was before."""

    image: Image.Image
    """RGB, upright, of its own size."""
    mode: str
    """Pillow's mode of the file, or the shape of an array."""
    size: tuple[int, int]
    """(width, height) of ``image``."""
    animated: bool
    """Whether there are more frames than the first, which is ``image``."""
    sha256: str
    """Of the bytes as stored: equal ones are the same picture."""


@cache
def suffixes() -> frozenset[str]:
    """Return the file name extensions, in lower case, of the formats that are opened."""
    # Pillow opens MPO, several JPEGs in one file, as JPEG.
    return frozenset(suffix for suffix, name in Image.registered_extensions().items() if name in (*FORMATS, "MPO"))


def decode(content: bytes, background: str = "white") -> Picture:
    """Decode the first frame of a picture file; raise DataError, which says in a few words why it cannot be."""
    try:
        try:
            image, mode, animated = _opened(content, background)
        except ValueError:
            if not content.startswith(_PNG_START):
                raise
            # Pillow refuses a PNG with a text of a megabyte, which is no part of the picture.
            image, mode, animated = _opened(_without_remarks(content), background)
    except DataError:
        raise
    except UnidentifiedImageError:
        known = ", ".join(FORMATS)
        raise DataError(
            "not a picture, or of a format that is not read", "a picture", f"remove it; read are {known}"
        ) from None
    except Exception as error:  # Pillow's decoders raise many types of damaged files; each means the same to the user
        raise DataError(f"{type(error).__name__}: {error}"[:200], "a picture", _REPAIR) from None
    return Picture(image, mode, image.size, animated, hashlib.sha256(content).hexdigest())


def from_array(levels: NDArray[np.uint8], background: str = "white") -> Picture:
    """Return an array (H, W), or (H, W, 1, 3 or 4), as a picture; raise DataError for another shape."""
    flat = levels[:, :, 0] if levels.ndim == 3 and levels.shape[2] == 1 else levels
    if not (flat.ndim == 2 or (flat.ndim == 3 and flat.shape[2] in (3, 4))) or 0 in flat.shape:
        what = f"an array of shape {levels.shape}"
        raise DataError(what, "a picture", "write (height, width), or (height, width, 1, 3 or 4)")
    image = modes.to_rgb(Image.fromarray(np.ascontiguousarray(flat)), background)
    digest = hashlib.sha256(f"{flat.shape}".encode() + np.ascontiguousarray(flat).tobytes())
    return Picture(image, f"array {levels.shape[2:] or '(H, W)'}", image.size, False, digest.hexdigest())


def _opened(content: bytes, background: str) -> tuple[Image.Image, str, bool]:
    with Image.open(io.BytesIO(content), formats=FORMATS) as picture:
        width, height = picture.size
        if width * height > MOST_PIXELS:
            raise DataError(f"{width} x {height} pixels, more than {MOST_PIXELS}", "a picture", "make it smaller")
        animated = bool(getattr(picture, "is_animated", False))
        stored = picture.tile[0].args if picture.format == "PNG" and picture.tile else None
        picture.load()
        modes.scale_transparency(picture, stored)
        return modes.to_rgb(picture, background), picture.mode, animated


def _without_remarks(content: bytes) -> bytes:
    """Return a PNG without texts and colour profile."""
    kept, at = [_PNG_START], len(_PNG_START)
    while at + 12 <= len(content):
        (length,) = struct.unpack_from(">I", content, at)
        end = at + 12 + length
        if content[at + 4 : at + 8] not in _PNG_REMARKS:
            kept.append(content[at:end])
        at = end
    return b"".join(kept)
