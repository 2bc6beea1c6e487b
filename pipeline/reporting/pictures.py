"""Pictures inside a page: images as the sources of HTML elements, equal for equal pixels."""

import base64
import io
from collections.abc import Sequence

from PIL import Image

LARGEST = 96
"""Pixels a side at which images are shown at most; larger ones are reduced."""
_LOSSLESS = 48  # pixels a side; larger images are stored as WebP with losses that nobody sees at this size


def source(image: Image.Image, lossless: bool = True) -> str:
    """Return an image as the ``src`` of an HTML element."""
    buffer = io.BytesIO()
    if lossless:
        image.save(buffer, "PNG", optimize=True)
    else:
        image.save(buffer, "WEBP", quality=85, method=4)
    kind = "png" if lossless else "webp"
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def row(images: Sequence[Image.Image]) -> tuple[str, int]:
    """Return images side by side as one source, and their side in pixels; ``images`` are square, at least one."""
    side = min(images[0].width, LARGEST)
    joined = Image.new("RGB", (side * len(images), side))
    for place, image in enumerate(images):
        fitted = image if image.size == (side, side) else image.resize((side, side), Image.Resampling.LANCZOS)
        joined.paste(fitted.convert("RGB"), (place * side, 0))
    return source(joined, side <= _LOSSLESS), side
