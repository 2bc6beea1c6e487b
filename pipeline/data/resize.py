"""One way to bring pictures to a size, for real and synthetic images alike.

Another filter for one of them would be a difference between real and synthetic images of our own making.
"""

from PIL import Image, ImageOps


def fit(picture: Image.Image, size: int) -> Image.Image:
    """Return the middle square of a picture, ``size`` pixels a side, by bicubic interpolation with anti-aliasing."""
    if picture.size == (size, size):
        return picture
    return ImageOps.fit(picture, (size, size), Image.Resampling.BICUBIC)
