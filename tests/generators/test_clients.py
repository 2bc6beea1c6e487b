"""The two parts of a data set: what the generator sees, and what clients can hold."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from pipeline.data import images
from pipeline.errors import ParameterError
from pipeline.params import DataParams
from tests.conftest import MakeImages


def pixels(found: images.Images) -> set[bytes]:
    return {found.pixels([row]).tobytes() for row in range(len(found))}


def test_no_image_is_in_both_parts_not_even_as_a_copy(
    programs: Path, tmp_path: Path, make_images: MakeImages, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ten pictures of each class, of which all of class 0 are equal: half of each class is seen, and none of the rest.

    The generator sees 5 of each class. The clients can hold the other 5 of classes 1 and 2, and none of class 0.
    """
    import clients
    from latent import pictures, recipe

    rng = np.random.default_rng(4)
    made = rng.integers(0, 256, (30, 16, 16, 3)).astype(np.uint8)
    made[:10] = made[0]
    labels = np.repeat(np.arange(3), 10).tolist()
    make_images(tmp_path / "data/train.parquet", made, labels)
    make_images(tmp_path / "data/test.parquet", made[::10], labels[::10])
    given = recipe.load(programs / "cifar10.yaml", [f"data.path={tmp_path / 'data'}", "data.size=16"])
    clients.halve(given, "test", tmp_path / "out")
    seen, _ = pictures.chosen(given.data)
    written = images.load(DataParams(path=str(tmp_path / "out")), "train")
    assert np.bincount(seen.labels).tolist() == [5, 5, 5]
    assert np.bincount(written.labels, minlength=3).tolist() == [0, 5, 5]
    assert not pixels(seen) & pixels(written)
    assert len(pixels(seen) | pixels(written)) == 21
    rows = pq.read_table(tmp_path / "out/train.parquet")["row"].to_pylist()
    assert not set(rows) & set(seen.split_rows.tolist())
    assert [made[row].tobytes() for row in rows] == [written.pixels([i]).tobytes() for i in range(10)]
    assert len(images.load(DataParams(path=str(tmp_path / "out")), "test")) == 3
    assert "5 images are left out" in capsys.readouterr().err


def test_a_generator_that_sees_everything_leaves_nothing_for_clients(
    programs: Path, small_data: Path, tmp_path: Path
) -> None:
    import clients
    from latent import recipe

    given = recipe.load(programs / "demo.yaml", [f"data.path={small_data}"])
    with pytest.raises(ParameterError, match="the generator sees all images"):
        clients.halve(given, "test", tmp_path / "out")
    assert not (tmp_path / "out").exists()
