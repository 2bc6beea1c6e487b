"""The judge that is trained here: it learns, it is paid for once, and its answers depend on nothing else."""

from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline import judges
from pipeline.data import arrays, decoded
from pipeline.data.arrays import Stored
from pipeline.errors import ParameterError
from pipeline.judges.trained import Trained
from pipeline.params import DataParams
from pipeline.workspace import Workspace
from tests.conftest import CLASS_NAMES


@pytest.fixture
def stored(workspace: Workspace, small_data: Path) -> Stored:
    """60 training images of three classes that the mean colour tells apart."""
    return decoded.open_data(workspace, DataParams(path=str(small_data))).train


def judge(stored: Stored, folder: Path, rows: list[int] | None = None) -> Trained:
    chosen = np.arange(60) if rows is None else np.array(rows, np.int64)
    return Trained(CLASS_NAMES, lambda: judges.Training(stored, chosen), folder)


def test_it_learns_to_tell_classes_apart_from_images_that_it_did_not_see(stored: Stored, tmp_path: Path) -> None:
    """A guess is right for a third of them."""
    odd = np.arange(1, 60, 2)
    found = judge(stored, tmp_path, list(range(0, 60, 2))).probabilities(stored.pixels[odd])
    assert (found.argmax(1) == stored.labels[odd]).mean() > 0.9
    assert found.sum(axis=1) == pytest.approx(np.ones(30), abs=1e-5)


def test_it_is_trained_once_and_read_again(stored: Stored, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    first = judge(stored, tmp_path)
    rows = first.probabilities(stored.pixels)
    assert [path.name for path in tmp_path.glob("*.safetensors")] == [f"{first.digest}.safetensors"]
    assert np.array_equal(judge(stored, tmp_path).probabilities(stored.pixels), rows)
    assert capfd.readouterr().err.count("training a small network on 60 real images") == 1
    next(tmp_path.glob("*.safetensors")).write_bytes(b"damaged")
    assert np.array_equal(judge(stored, tmp_path).probabilities(stored.pixels), rows)
    assert "is damaged; the judge is trained again" in capfd.readouterr().err


def test_an_answer_depends_on_no_other_image_and_on_no_number_of_threads(stored: Stored, tmp_path: Path) -> None:
    made, images = judge(stored, tmp_path), np.concatenate([stored.pixels, stored.pixels[::-1]])
    rows, features, order = made.probabilities(images), made.features(images), np.random.default_rng(0).permutation(120)
    assert np.array_equal(made.probabilities(images[order]), rows[order])
    assert np.array_equal(made.probabilities(images[70:71]), rows[70:71])
    assert features.shape == (120, 96)
    assert np.linalg.norm(features, axis=1) == pytest.approx(np.full(120, 96**0.5), rel=1e-5)
    assert np.array_equal(made.features(images[order]), features[order])
    before = torch.get_num_threads()
    torch.set_num_threads(before + 1)
    try:
        again = judge(stored, tmp_path / "again")
        assert np.array_equal(again.probabilities(images), rows)
        assert torch.get_num_threads() == before + 1
    finally:
        torch.set_num_threads(before)


def test_the_digest_is_of_what_it_learns_from_and_needs_no_training(stored: Stored, tmp_path: Path) -> None:
    made = judge(stored, tmp_path)
    assert len({made.digest, judge(stored, tmp_path, list(range(59))).digest}) == 2
    assert Trained(CLASS_NAMES[::-1], lambda: judges.Training(stored, np.arange(60)), tmp_path).digest != made.digest
    assert list(tmp_path.glob("*.safetensors")) == []


def test_images_of_one_class_train_no_judge_and_a_class_without_images_is_said(
    stored: Stored, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ParameterError, match="20, of fewer than two classes"):
        judge(stored, tmp_path, list(range(20))).probabilities(stored.pixels[:1])
    judge(stored, tmp_path, list(range(41))).probabilities(stored.pixels[:1])
    assert "no real image of" not in capfd.readouterr().err
    judge(stored, tmp_path, list(range(40))).probabilities(stored.pixels[:1])
    assert "no real image of coat" in capfd.readouterr().err


@pytest.mark.parametrize("size", [1, 7, 80])
def test_images_of_any_size_are_judged(size: int, tmp_path: Path) -> None:
    """The network sees 8 to 64 pixels a side."""
    labels = np.arange(8) % 2
    pixels = np.zeros((8, size, size, 3), np.uint8)
    pixels[labels == 1] = 200
    held = arrays.store(tmp_path, arrays.name_of("test", [size]), labels, size, lambda: [pixels])
    made = Trained(("dark", "light"), lambda: judges.Training(held, np.arange(8)), tmp_path)
    assert made.probabilities(pixels).shape == (8, 2)
