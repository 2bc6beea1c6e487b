"""EfficientNet-Lite0 offline: its weights, its padding, its preprocessing, and that rows are independent."""

import io

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from pipeline import atomic
from pipeline.errors import ParameterError
from pipeline.evaluation import extractors
from pipeline.evaluation.distances import clipped_density
from pipeline.evaluation.extractors import Extractor
from pipeline.evaluation.extractors.efficientnet_lite0 import (
    PREPROCESSING,
    WEIGHTS,
    Block,
    Convolution,
    EfficientNetLite0,
)
from pipeline.evaluation.extractors.network import BATCH, Preprocessing
from tests.conftest import ROOT


@pytest.fixture(scope="module")
def extractor() -> Extractor:
    return extractors.load("efficientnet-lite0")


def draw(count: int, side: int = 32) -> NDArray[np.uint8]:
    """Smooth coloured pictures: noise that is 8 times as coarse as pixels."""
    coarse = np.random.default_rng(count).integers(0, 256, (count, side // 8, side // 8, 3), np.uint8)
    return coarse.repeat(8, axis=1).repeat(8, axis=2)


def test_features_are_those_of_the_published_weights(extractor: Extractor) -> None:
    """What efficientnet-lite-pytorch 0.1.0 makes of a slope of red, one of green and one of blue, from float32 weights.

    Its features 113, 930, 1006 and 897 are the largest: 5.179, 4.855, 3.920 and 3.742; all add up to 104.86.
    """
    assert atomic.sha256(WEIGHTS) == "33c79b57cbeef59a26812ad156735c1fc9468bc8e29b0fd4a18fa8cd56160c79"
    down, right = np.indices((224, 224))
    found = extractor.features(np.stack([down, right, 255 - down], axis=-1).astype(np.uint8)[None])
    assert found.shape == (1, extractor.dimension) == (1, 1280)
    assert found.dtype == np.float32
    assert np.linalg.norm(found) == pytest.approx(1280**0.5)
    assert np.argsort(-found[0])[:4].tolist() == [113, 930, 1006, 897]
    assert found[0, [930, 1006, 897]] / found[0, 113] == pytest.approx(
        np.array([4.8554, 3.9198, 3.7415]) / 5.1793, rel=1e-2
    )
    assert found.sum() / found[0, 113] == pytest.approx(104.857 / 5.1793, rel=1e-2)


def test_images_that_show_nothing_are_near_to_no_picture(extractor: Extractor) -> None:
    """Black, white, grey and noise among clothes; their averages are short, and without one length black had 1."""
    table = pq.read_table(ROOT / "data/demo/images/test.parquet", columns=["image"]).slice(0, 64)
    rows = (Image.open(io.BytesIO(row["bytes"])).convert("RGB") for row in table.column("image").to_pylist())
    real = extractor.features(np.stack([np.asarray(picture) for picture in rows]))
    noise = np.random.default_rng(0).integers(0, 256, (BATCH - 3, 32, 32, 3), np.uint8)
    plain = [np.full_like(noise[:1], grey) for grey in (0, 127, 255)]
    assert clipped_density(real, extractor.features(np.concatenate([*plain, noise]))) == 0


def test_a_row_depends_on_its_own_image_alone(extractor: Extractor) -> None:
    images = draw(BATCH + 3)
    together = extractor.features(images)
    assert np.array_equal(extractor.features(images[-2:]), together[-2:])
    assert np.array_equal(extractor.features(images[::-1][:5]), together[::-1][:5])
    assert extractor.features(images[:0]).shape == (0, 1280)
    assert len(np.unique(together, axis=0)) == len(images)


def test_the_digest_says_what_decides_features(extractor: Extractor) -> None:
    assert len(extractor.digest) == 64
    assert extractor.digest == extractors.load("efficientnet-lite0").digest


def test_padding_is_tensorflows() -> None:
    """A stride of 2 over 5 ones with a kernel of three ones: 3 outputs, (0 1 1), (1 1 1), (1 1 0)."""
    layer = Convolution(1, 1, 3, 2, bias=False)
    torch.nn.init.ones_(layer.weight)
    with torch.inference_mode():
        row = layer(torch.ones(1, 1, 5, 5))[0, 0, 1]
        assert (row / 3).tolist() == [2, 3, 2]
        # 4 ones: 2 outputs, (1 1 1), (1 1 0): the odd pixel of padding is at the end.
        assert (layer(torch.ones(1, 1, 4, 4))[0, 0, 0] / 3).tolist() == [3, 2]


def test_the_network_has_the_published_shape() -> None:
    """3.4 million numbers without the classifier (4.65 million with its 1,281,000); 16 blocks, 32nd of the input."""
    network = EfficientNetLite0()
    with torch.inference_mode():
        assert network.blocks(network.stem(torch.zeros(1, 3, 64, 64))).shape == (1, 320, 2, 2)
    blocks = [block for block in network.blocks if isinstance(block, Block)]
    assert len(blocks) == 16
    assert sum(block.adds for block in blocks) == 9  # all but the first of each of the seven stages
    normalised = sum(values.shape[0] for values in network.parameters() if values.ndim == 1)
    assert sum(values.numel() for values in network.parameters()) + normalised + 1_281_000 == 4_652_008


def test_small_images_are_seen_at_160_pixels_and_others_at_224() -> None:
    assert [PREPROCESSING.side(stored) for stored in (28, 32, 64, 65, 128, 512)] == [160, 160, 160, 224, 224, 224]
    assert PREPROCESSING(torch.zeros(2, 32, 32, 3, dtype=torch.uint8)).shape == (2, 3, 160, 160)


def test_the_resize_leaves_no_aliases_and_stays_in_range() -> None:
    """A chessboard of single pixels, 0 and 255, becomes grey when it shrinks; edges do not overshoot when it grows."""
    prepare = Preprocessing(((10**9, 32),), (0.0,) * 3, (1.0,) * 3)
    board = (np.indices((128, 128)).sum(axis=0) % 2 * 255).astype(np.uint8)
    shrunk = prepare(torch.from_numpy(np.repeat(board[None, :, :, None], 3, axis=3)))
    assert (shrunk - 127.5).abs().max() < 5
    edge = np.zeros((1, 8, 8, 3), np.uint8)
    edge[:, :, 4:] = 255
    grown = prepare(torch.from_numpy(edge))
    assert grown.min() == 0
    assert grown.max() == 255
    same = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3), np.uint8)
    assert np.array_equal(prepare(torch.from_numpy(same)).permute(0, 2, 3, 1).numpy(), same)


@pytest.mark.parametrize("name", ["efficientnet", "", "clipp:x", "efficientnet-lite0:x"])
def test_another_name_is_refused(name: str) -> None:
    with pytest.raises(ParameterError, match=r"no such extractor: .*: use efficientnet-lite0, dinov2, clip"):
        extractors.load(name)
