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


def test_moments_by_hand() -> None:
    """Levels 0, 0, 100, 100 have mean 50 and deviation 50; a channel of one level has deviation 1, and so has none."""
    counts = histograms.empty()
    counts[0, [0, 100]], counts[1, 7] = 2, 4
    assert histograms.moments(counts) == ((50.0, 7.0, 0.0), (50.0, 1.0, 1.0))


def test_moments_of_parts_are_those_of_the_whole() -> None:
    pixels = np.random.default_rng(3).integers(0, 256, (11, 5, 4, 3)).astype(np.uint8)
    whole, counts = histograms.empty(), histograms.empty()
    histograms.add(whole, pixels)
    for part in (pixels[7:], pixels[:2], pixels[2:2], pixels[2:7]):
        histograms.add(counts, part)
    assert histograms.moments(counts) == histograms.moments(whole)


def test_rows_are_counted_wherever_they_lie() -> None:
    pixels = np.random.default_rng(4).integers(0, 256, (9, 5, 4, 3)).astype(np.uint8)
    expected = histograms.empty()
    histograms.add(expected, pixels[[7, 2, 3]])
    assert np.array_equal(histograms.of_rows(pixels, np.array([7, 2, 3])), expected)
    assert not histograms.of_rows(pixels, np.array([], np.int64)).any()
