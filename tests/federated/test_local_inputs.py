"""What ``local`` does to images before a model sees them: augmentation and normalisation."""

import tracemalloc

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.federated.local import Augmented, Loaded, Normalisation


def test_an_augmented_image_is_a_crop_of_the_reflected_one_or_its_mirror_image() -> None:
    """Sixteen rows and 24 columns may move by two either way: 5 x 5 crops, each as it is or mirrored, all drawn."""
    pixels = torch.randint(0, 256, (3, 16, 24, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    padded = F.pad(pixels.permute(0, 3, 1, 2).float(), (2, 2, 2, 2), mode="reflect").to(torch.uint8).permute(0, 2, 3, 1)
    possible: list[dict[bytes, tuple[int, int, bool]]] = []
    for image in padded:
        crops = {(y, x): image[y : y + 16, x : x + 24] for y in range(5) for x in range(5)}
        plain = {crop.numpy().tobytes(): (*place, False) for place, crop in crops.items()}
        mirrored = {crop.flip(1).numpy().tobytes(): (*place, True) for place, crop in crops.items()}
        possible.append({**plain, **mirrored})
    assert [len(crops) for crops in possible] == [50] * 3
    augmented, seen = Augmented(Loaded(pixels), seed=4, mirror=True), set()
    for _ in range(100):
        drawn = augmented.take(torch.tensor([2, 0, 2, 1]))
        assert drawn.shape == (4, 16, 24, 3)
        for row, image in zip([2, 0, 2, 1], drawn, strict=True):
            seen.add(possible[row][image.numpy().tobytes()])
    assert len(seen) == 50


@pytest.mark.parametrize("mirror", [True, False])
@pytest.mark.parametrize(("height", "width"), [(16, 24), (32, 32), (7, 9), (8, 8)])
def test_augmentation_draws_and_cuts_as_written_out_here(height: int, width: int, mirror: bool) -> None:
    """One stream gives each batch the top-left corners in the reflected image, first all rows, then all columns.

    Then, if images are to be mirrored, it gives one coin for each, 1 for mirrored. Images of fewer than 8 pixels are
    mirrored only.
    """
    generator = torch.Generator().manual_seed(6)
    pixels = torch.randint(0, 256, (20, height, width, 3), dtype=torch.uint8, generator=generator)
    most = min(height, width) // 8
    padded = np.pad(pixels.numpy(), ((0, 0), (most, most), (most, most), (0, 0)), mode="reflect")
    stream, augmented = torch.Generator().manual_seed(4), Augmented(Loaded(pixels), seed=4, mirror=mirror)
    assert len(augmented) == 20
    for size in (5, 20, 1, 32):
        rows = torch.randint(0, 20, (size,), generator=generator)
        corners = torch.randint(0, 2 * most + 1, (2, size), generator=stream).tolist()
        mirrored = torch.randint(0, 2, (size,), generator=stream).tolist() if mirror else [0] * size
        drawn = augmented.take(rows)
        assert (drawn.dtype, drawn.is_contiguous()) == (torch.uint8, True)
        for image, row, top, left, coin in zip(drawn, rows.tolist(), *corners, mirrored, strict=True):
            cut = padded[row, top : top + height, left : left + width]
            assert np.array_equal(image.numpy(), cut[:, ::-1] if coin else cut)


def test_augmentation_follows_its_seed() -> None:
    pixels = torch.randint(0, 256, (10, 16, 16, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(2))

    def draws(seed: int) -> list[bytes]:
        augmented = Augmented(Loaded(pixels), seed, mirror=True)
        return [augmented.take(torch.arange(10)).numpy().tobytes() for _ in range(3)]

    first = draws(1)
    assert first == draws(1)
    assert len({*first, *draws(2)}) == 6


def test_normalisation_counts_chunk_by_chunk_in_little_memory() -> None:
    """Three million pixels, of which a chunk of one million takes 9 MB, and the last chunk is part-full."""
    pixels = np.random.default_rng(1).integers(0, 256, (45, 256, 260, 3)).astype(np.uint8)
    pixels[40:, :, :, 1] = 9
    tracemalloc.start()
    norm = Normalisation.of(pixels)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 15e6
    for channel in range(3):
        histogram = np.bincount(pixels[..., channel].ravel(), minlength=256)
        mean = float(histogram @ np.arange(256)) / histogram.sum()
        assert norm.mean[channel] == mean
        assert norm.std[channel] == float(np.sqrt(histogram @ (np.arange(256) - mean) ** 2 / histogram.sum()))


def test_normalisation_by_hand() -> None:
    """Levels 0, 0, 100, 100 have mean 50 and deviation 50; a channel of one level is divided by 1."""
    pixels = np.zeros((4, 2, 2, 3), np.uint8)
    pixels[2:, :, :, 0] = 100
    pixels[..., 2] = 7
    norm = Normalisation.of(pixels)
    assert norm == Normalisation((50.0, 0.0, 7.0), (50.0, 1.0, 1.0))
    floats = norm.on(2, "cpu")(torch.from_numpy(pixels))
    assert floats.shape == (4, 3, 2, 2)
    assert floats[0, :, 0, 0].tolist() == [-1.0, 0.0, 0.0]
    assert floats[3, :, 1, 1].tolist() == pytest.approx([1.0, 0.0, 0.0], abs=1e-6)
    assert pixels[2, 0, 0].tolist() == [100, 0, 7]


@settings(max_examples=20)
@given(st.integers(0, 10**6))
def test_normalisation_is_mean_and_deviation(seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (5, 3, 4, 3)).astype(np.uint8)
    norm = Normalisation.of(pixels)
    np.testing.assert_allclose(norm.mean, pixels.mean(axis=(0, 1, 2)))
    np.testing.assert_allclose(norm.std, pixels.std(axis=(0, 1, 2)))
