"""The parts of real images: disjoint, of every class, and whose they are is known."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.data import decoded, real_parts
from pipeline.data.decoded import Decoded
from pipeline.params import DataParams
from pipeline.workspace import Workspace
from tests.conftest import MakeImages
from tests.evaluation.images import partition


@pytest.fixture
def data(workspace: Workspace, tmp_path: Path, make_images: MakeImages) -> Decoded:
    """40 training images of each of three classes, class after class."""
    rng = np.random.default_rng(1)
    for split, each in (("train", 40), ("test", 2)):
        images = rng.integers(0, 256, (3 * each, 8, 8, 3)).astype(np.uint8)
        make_images(tmp_path / "data" / f"{split}.parquet", images, np.repeat(np.arange(3), each).tolist())
    return decoded.open_data(workspace, DataParams(path=str(tmp_path / "data")))


def counts(data: Decoded, rows: np.ndarray[tuple[int], np.dtype[np.int64]]) -> list[int]:
    return [int(count) for count in np.bincount(data.train.labels[rows], minlength=3)]


def test_images_that_no_client_holds_are_shared_out_by_a_half_and_two_quarters_of_each_class(data: Decoded) -> None:
    """20, 30 and 40 of the classes are unused: 10, 15 and 20 for the judge, 5, 7 or 8, and 10 for the others."""
    held = [*range(20), *range(40, 50)]
    found = real_parts.real_parts(data, partition(data, held))
    assert found.source == "unused"
    assert counts(data, found.judge) == [10, 15, 20]
    assert counts(data, found.reference) == [5, 8, 10]
    assert counts(data, found.validation) == [5, 7, 10]
    taken = np.concatenate([found.judge, found.reference, found.validation])
    assert sorted(taken) == sorted(set(range(120)) - set(held))


def test_where_a_class_has_too_few_unused_images_all_are_shared_out_in_thirds(data: Decoded) -> None:
    """19 of the first class are unused; of all 40 the thirds are 13, 14 and 13."""
    found = real_parts.real_parts(data, partition(data, list(range(21))))
    assert found.source == "clients"
    assert "the clients' own images" in found.describe
    for rows, each in ((found.judge, 13), (found.reference, 14), (found.validation, 13)):
        assert counts(data, rows) == [each] * 3
    assert len(set(np.concatenate([found.judge, found.reference, found.validation]))) == 120


def test_a_judge_learns_from_no_more_than_its_limit(data: Decoded, monkeypatch: pytest.MonkeyPatch) -> None:
    """A half of 120 are 60; a limit of 30 leaves 10 of each class."""
    whole = real_parts.real_parts(data, partition(data, []))
    monkeypatch.setattr(real_parts, "_MOST_TO_LEARN", 30)
    cut = real_parts.real_parts(data, partition(data, []))
    assert counts(data, whole.judge) == [20] * 3
    assert counts(data, cut.judge) == [10] * 3
    assert set(cut.judge) < set(whole.judge)
    assert np.array_equal(cut.validation, whole.validation)
