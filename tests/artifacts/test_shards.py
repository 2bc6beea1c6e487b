import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from pipeline.artifacts import parquet, shards
from pipeline.artifacts.shards import SyntheticImage
from pipeline.errors import ArtifactError

NAMES = ("ankle boot", "bag", "coat")
HEADER = {"client": 3, "recipe": "r", "plan": "p"}


def png(grey: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4), (grey, grey, grey)).save(buffer, "PNG")
    return buffer.getvalue()


def row(index: int, image: bytes = b"") -> SyntheticImage:
    label = index % 3
    return SyntheticImage(
        image=image or png(index % 256),
        label=label,
        class_name=NAMES[label],
        client=3,
        lane="3",
        index=index,
        prompt=f"a photo of a {NAMES[label]}",
        negative_prompt="",
        guidance=1.5,
        seed=2**62 + index,
        retry=0,
        recipe="r",
    )


def test_datasets_reads_a_shard_with_its_features(tmp_path: Path) -> None:
    from datasets import ClassLabel, load_dataset
    from datasets import Image as ImageFeature

    path = tmp_path / "client-00003.parquet"
    assert shards.write(path, [row(i) for i in range(5)], NAMES, HEADER) == 5
    table = load_dataset("parquet", data_files=str(path), split="train")
    assert table.features["label"] == ClassLabel(names=list(NAMES))
    assert isinstance(table.features["image"], ImageFeature)
    assert np.asarray(table[4]["image"]).tolist() == np.full((4, 4, 3), 4).tolist()
    others = {name: value for name, value in table[4].items() if name != "image"}
    assert others == {
        "label": 1,
        "class_name": "bag",
        "client": 3,
        "lane": "3",
        "index": 4,
        "prompt": "a photo of a bag",
        "negative_prompt": "",
        "guidance": 1.5,
        "seed": 2**62 + 4,
        "retry": 0,
        "recipe": "r",
    }


def test_equal_content_gives_equal_bytes(tmp_path: Path) -> None:
    rows = [row(i) for i in range(1_500)]
    shards.write(tmp_path / "a", rows, NAMES, HEADER)
    shards.write(tmp_path / "b", iter(rows), NAMES, dict(reversed(HEADER.items())))
    shards.write(tmp_path / "c", rows[:-1], NAMES, HEADER)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes() != (tmp_path / "c").read_bytes()


def test_the_header_is_read_without_the_rows(tmp_path: Path) -> None:
    shards.write(tmp_path / "a", [row(0)], NAMES, HEADER)
    assert parquet.read_header(tmp_path / "a", "generate") == HEADER


def test_an_empty_shard_says_what_it_is_and_loads_beside_others(tmp_path: Path) -> None:
    from datasets import ClassLabel, load_dataset

    empty, full = tmp_path / "a.parquet", tmp_path / "b.parquet"
    assert shards.write(empty, [], NAMES, HEADER) == 0
    assert parquet.read_header(empty, "generate") == HEADER
    assert list(shards.read_images(empty)) == []
    shards.write(full, [row(1)], NAMES, HEADER)
    for files in ([empty, full], [full, empty]):
        table = load_dataset("parquet", data_files=[str(file) for file in files], split="train")
        assert table["index"] == [1]
        assert table.features["label"] == ClassLabel(names=list(NAMES))


def test_rows_beyond_one_row_group_keep_their_order(tmp_path: Path) -> None:
    """2,500 rows are row groups of 1,000, 1,000 and 500."""
    path = tmp_path / "a"
    images = [str(i).encode() for i in range(2_500)]
    assert shards.write(path, (row(i, image) for i, image in enumerate(images)), NAMES, HEADER) == 2_500
    with pq.ParquetFile(path) as file:
        assert [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)] == [1_000, 1_000, 500]
    assert list(shards.read_images(path)) == [(i % 3, image) for i, image in enumerate(images)]


def test_an_error_among_the_rows_leaves_the_old_shard(tmp_path: Path) -> None:
    path = tmp_path / "a"
    shards.write(path, [row(0)], NAMES, HEADER)
    before = path.read_bytes()

    def rows() -> Iterator[SyntheticImage]:
        for i in range(1_200):
            yield row(i)
        raise KeyError

    with pytest.raises(KeyError):
        shards.write(path, rows(), NAMES, HEADER)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("content", [None, b"", b"PAR1 but no Parquet PAR1"])
def test_a_header_that_cannot_be_read_names_the_file(tmp_path: Path, content: Any) -> None:
    path = tmp_path / "a"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ArtifactError, match=f"{path}: run: dvc repro .*generate"):
        parquet.read_header(path, "generate")
