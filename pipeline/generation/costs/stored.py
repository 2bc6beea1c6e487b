"""How many bytes a stored image takes, before one is."""

_BYTES_PER_PIXEL = {
    "png": {32: 2.3, 64: 2.0, 128: 1.8},
    "jpeg": {32: 1.3, 64: 0.7, 128: 0.46},
    "webp": {32: 0.64, 64: 0.44, 128: 0.32},
}
"""By size in pixels a side: means over photographs (CIFAR-10 at 32, PACS at all), JPEG and WebP in quality 90. Larger
images take fewer bytes a pixel than those of 128; how many, depends on how sharp the model draws."""
POOL_ROW, SHARD_ROW = 460, 30
"""Bytes of the pool's and a shard's table for each image beside it: its names, prompt and seed."""
SOURCE = "typical of photographs in this format and size; drawings take less"


def bytes_per_image(image_format: str, size: int) -> float:
    """Return about how many bytes an image of ``size`` pixels a side takes in ``png``, ``jpeg`` or ``webp``."""
    known = _BYTES_PER_PIXEL[image_format]
    return known[min(known, key=lambda one: abs(one - size))] * size * size
