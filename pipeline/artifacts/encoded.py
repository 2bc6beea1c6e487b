"""The one place that opens encoded synthetic images, which may come from anybody."""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from PIL import Image
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

_READERS: dict[str, type[ImageFile]] = {"png": PngImageFile, "jpeg": JpegImageFile, "webp": WebPImageFile}
"""Only these run: no other format is guessed, and none of them calls another program."""
_PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"
LARGEST = 4_096
"""Pixels a side that a recipe may ask for."""


@dataclass(frozen=True)
class Encoding:
    """How all images of a recipe are stored."""

    format: str
    size: int
    """Pixels a side."""

    @classmethod
    def of(cls, recipe: Mapping[str, Any]) -> Self:
        """Return what a recipe, described by JSON-ready values, says; raise ValueError if it says nothing usable."""
        kind, size = recipe.get("image_format"), recipe.get("image_size")
        if not isinstance(kind, str) or kind not in _READERS:
            raise ValueError(f"its image_format is none of {', '.join(_READERS)}")
        if type(size) is not int or not 1 <= size <= LARGEST:
            raise ValueError(f"its image_size is not a number of pixels from 1 to {LARGEST:,}")
        return cls(kind, size)

    @property
    def most_bytes(self) -> int:
        """More than an image of this size takes when nothing of it can be compressed."""
        return 65_536 + 6 * self.size**2

    def decode(self, image: bytes) -> Image.Image:
        """Return an image as RGB; raise ValueError with one reason for anything else than one of this encoding.

        The size that the image declares is compared before its pixels are decoded.
        """
        with self._opened(image) as opened:
            try:
                return opened.convert("RGB")
            except Exception as error:
                raise ValueError(f"cannot be decoded as {self.format} ({error})") from None

    def check(self, image: bytes) -> None:
        """Raise ValueError, with the reasons of ``decode``, for what does not declare this encoding.

        The pixels are not decoded, which takes ten times as long.
        """
        if not isinstance(image, bytes) or not image.startswith(_PNG) or self.format != "png":
            self._opened(image).close()
            return
        self._check_bytes(image)
        self._check_size(*(int.from_bytes(image[at : at + 4], "big") for at in (16, 20)))

    def _opened(self, image: bytes) -> ImageFile:
        self._check_bytes(image)
        try:
            opened = _READERS[self.format](io.BytesIO(image))
        except Exception as error:  # the readers raise many types for what they cannot read; each means the same
            raise ValueError(f"cannot be read as {self.format} ({error})") from None
        self._check_size(*opened.size)
        if getattr(opened, "is_animated", False) or opened.mode not in ("RGB", "L"):
            raise ValueError(f"is animated, or of mode {opened.mode} and not RGB")
        return opened

    def _check_bytes(self, image: bytes) -> None:
        if not isinstance(image, bytes) or not image:
            raise ValueError("is no image, but empty or of another type")
        if len(image) > self.most_bytes:
            raise ValueError(f"takes {len(image):,} bytes, and at most {self.most_bytes:,} are read")

    def _check_size(self, width: int, height: int) -> None:
        if (width, height) != (self.size, self.size):
            raise ValueError(f"measures {width} x {height} pixels, not {self.size} x {self.size}")
