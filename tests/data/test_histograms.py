import numpy as np

from pipeline.data import histograms


def test_levels_are_counted_by_channel() -> None:
    """Two 1 x 2 images: red 0, 0, 5, 255, green 7 everywhere, blue 1, 2, 3, 3."""
    pixels = np.array([[[[0, 7, 1], [0, 7, 2]]], [[[5, 7, 3], [255, 7, 3]]]], np.uint8)
    counts = histograms.empty()
    assert counts.shape == (3, 256)
    histograms.add(counts, pixels[:1])
    histograms.add(counts, pixels[1:])
    found = [{int(level): int(row[level]) for level in np.flatnonzero(row)} for row in counts]
    assert found == [{0: 2, 5: 1, 255: 1}, {7: 4}, {1: 1, 2: 1, 3: 2}]
