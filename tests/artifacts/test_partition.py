from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.artifacts import partition
from pipeline.artifacts.partition import Partition, Source
from pipeline.errors import ArtifactError, DataError

PLACE = Path("data/partition.parquet")


def example() -> Partition:
    """Client 0 holds a bag and two coats, client 1 nothing, client 2 a bag."""
    return Partition(
        rows=np.array([4, 5, 9, 2]),
        clients=np.array([0, 0, 0, 2], np.int32),
        labels=np.array([1, 2, 2, 1], np.int32),
        class_names=("ankle boot", "bag", "coat"),
        client_count=3,
        image_size=16,
        fingerprint="abc",
        source=Source("array", 12),
        mean=(100.5, 0.1, 1 / 3),
        std=(1.0, 2.0, 2 / 3),
    )


def test_counts() -> None:
    assert example().counts().tolist() == [[0, 1, 2], [0, 0, 0], [0, 1, 0]]


def test_rows_by_client() -> None:
    assert [rows.tolist() for rows in example().by_client()] == [[4, 5, 9], [], [2]]


def test_the_digest_is_that_of_who_holds_which_image() -> None:
    """Statistics of the images are no part of it; another holder, image, client or data set is."""
    made = example()
    assert replace(made, mean=(0.0, 0.0, 0.0), image_size=8).digest() == made.digest()
    others = [
        replace(made, clients=np.array([0, 0, 1, 2], np.int32)),
        replace(made, rows=np.array([4, 5, 9, 3])),
        replace(made, client_count=4),
        replace(made, fingerprint="abd"),
    ]
    assert len({one.digest() for one in (made, *others)}) == 5


def test_round_trip(project: Path) -> None:
    made = example()
    made.save(PLACE)
    loaded = partition.load(PLACE)
    for name in ("rows", "clients", "labels"):
        assert getattr(loaded, name).tolist() == getattr(made, name).tolist(), name
        assert getattr(loaded, name).dtype == getattr(made, name).dtype, name
    for name in ("class_names", "client_count", "image_size", "fingerprint", "source", "mean", "std"):
        assert getattr(loaded, name) == getattr(made, name), name


def test_clients_keep_what_the_user_calls_them(tmp_path: Path) -> None:
    """A file of a version without names is one of clients that are numbers only."""
    names = ("ann", "w2", "w10")
    replace(example(), client_names=names).save(tmp_path / "named")
    example().save(tmp_path / "numbers")
    assert partition.load(tmp_path / "named").client_names == names
    assert partition.load(tmp_path / "numbers").client_names is None


def test_saving_again_gives_equal_bytes(tmp_path: Path) -> None:
    example().save(tmp_path / "a")
    example().save(tmp_path / "b")
    replace(example(), fingerprint="other").save(tmp_path / "c")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes() != (tmp_path / "c").read_bytes()


def test_missing_cut_off_and_foreign_files(project: Path) -> None:
    with pytest.raises(ArtifactError, match=r"no such file: data/partition.parquet: run: dvc repro partition"):
        partition.load(PLACE)
    example().save(PLACE)
    PLACE.write_bytes(PLACE.read_bytes()[:-20])
    with pytest.raises(ArtifactError, match=r"damaged or not ours .*data/partition.parquet: run: dvc repro -f"):
        partition.load(PLACE)
    pq.write_table(pa.table({"row": [1]}), PLACE)
    with pytest.raises(ArtifactError, match="damaged or not ours"):
        partition.load(PLACE)


def test_damage_before_the_footer_is_an_artifact_error(project: Path) -> None:
    example().save(PLACE)
    content = bytearray(PLACE.read_bytes())
    content[4:120] = bytes(116)
    PLACE.write_bytes(content)
    with pytest.raises(ArtifactError, match="damaged"):
        partition.load(PLACE)


def test_check_source() -> None:
    example().check_source("abc", "data/demo")
    with pytest.raises(DataError, match="changed since they were partitioned: data/demo: restore the data, or run"):
        example().check_source("abd", "data/demo")
