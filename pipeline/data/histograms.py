"""How often each byte level occurs in each channel of images, from which mean and deviation follow exactly.

Images may come in parts, in any order: the counts are integers.
"""

import numpy as np
from numpy.typing import NDArray

LEVELS = 256
_MEASURED = 1 << 20  # pixels counted at a time: bincount takes nine bytes for each


def empty(channels: int = 3) -> NDArray[np.int64]:
    """Return the histograms (channels, 256) of no image."""
    return np.zeros((channels, LEVELS), np.int64)


def add(histograms: NDArray[np.int64], pixels: NDArray[np.uint8]) -> None:
    """Count images (n, H, W, channels) into ``histograms`` (channels, 256), in memory that n does not change."""
    count, height, width, channels = pixels.shape
    each = max(1, _MEASURED // (height * width))
    for start in range(0, count, each):
        part = pixels[start : start + each]
        histograms += [np.bincount(part[..., i].ravel(), minlength=LEVELS) for i in range(channels)]


def of_rows(pixels: NDArray[np.uint8], rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the histograms (channels, 256) of some images of an array (N, H, W, channels) that can be on disk."""
    counted, held = empty(pixels.shape[3]), np.sort(rows)
    each = max(1, _MEASURED // (pixels.shape[1] * pixels.shape[2]))
    for start in range(0, len(held), each):
        add(counted, pixels[held[start : start + each]])
    return counted


def moments(histograms: NDArray[np.int64]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the exact mean and deviation of each channel, the deviation at least 1; without any image 0 and 1."""
    levels, mean, std = np.arange(LEVELS), list[float](), list[float]()
    for histogram in histograms:
        count = max(int(histogram.sum()), 1)
        centre = float(histogram @ levels) / count
        mean.append(centre)
        std.append(max(float(np.sqrt(histogram @ (levels - centre) ** 2 / count)), 1.0))
    return tuple(mean), tuple(std)
