import io
import random
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from pipeline.artifacts import parquet, shards
from pipeline.artifacts.shard_reader import Header
from pipeline.artifacts.shards import Row
from pipeline.artifacts.spec import ImageSpec
from pipeline.errors import ArtifactError
from tests.synthetic import read_images

NAMES = ("ankle boot", "bag", "coat")
HEADER = {"client": 3, "recipe": "r", "plan": "p"}
MUCH = 1_000_000_000


def png(grey: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4), (grey, grey, grey)).save(buffer, "PNG")
    return buffer.getvalue()


def row(index: int, image: bytes = b"") -> Row:
    label = index % 3
    described = ImageSpec(
        lane="3",
        class_name=NAMES[label],
        index=index,
        retry=0,
        seed=2**62 + index,
        guidance=1.5,
        prompt=f"a photo of a {NAMES[label]}",
        negative_prompt="",
    )
    return shards.row_of(image or png(index % 256), label, 3, "faint" if index == 4 else "", "r", described)


def sized(*sizes: int) -> list[Row]:
    """Rows whose images have these numbers of bytes, each image of a byte of its own."""
    return [row(i, bytes([i % 256]) * size) for i, size in enumerate(sizes)]


def at(folder: Path) -> Callable[[int], Path]:
    """Return where each part goes."""
    return lambda part: folder / f"{part}.parquet"


def groups(path: Path) -> list[int]:
    with pq.ParquetFile(path) as file:
        return [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]


def test_datasets_reads_a_shard_with_its_features(tmp_path: Path) -> None:
    from datasets import ClassLabel, load_dataset
    from datasets import Image as ImageFeature

    path = tmp_path / "client-00003.parquet"
    assert shards.write(lambda part: path, [row(i) for i in range(5)], NAMES, HEADER, MUCH) == [(path, 5)]
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
        "flags": "faint",
        "recipe": "r",
    }
    assert table["flags"][:4] == [""] * 4


def test_the_format_of_shards_stays(tmp_path: Path) -> None:
    """Publications have these columns, also if the fields of an image spec are moved."""
    expected = {
        "image": pa.struct({"bytes": pa.binary(), "path": pa.string()}),
        "label": pa.int64(),
        "class_name": pa.string(),
        "client": pa.int32(),
        "lane": pa.string(),
        "index": pa.int32(),
        "prompt": pa.string(),
        "negative_prompt": pa.string(),
        "guidance": pa.float64(),
        "seed": pa.int64(),
        "retry": pa.int32(),
        "flags": pa.string(),
        "recipe": pa.string(),
    }
    shards.write(at(tmp_path), [row(0)], NAMES, HEADER, MUCH)
    read = pq.read_schema(tmp_path / "0.parquet")
    assert dict(zip(read.names, read.types, strict=True)) == expected
    assert shards.schema(NAMES).equals(read)
    assert list(shards.COLUMNS) == list(expected) == read.names


def test_an_anonymous_file_has_no_column_that_shows_the_client(tmp_path: Path) -> None:
    """Lane and client name it; from index, seed, retry and recipe it can be computed."""
    expected = ("image", "label", "class_name", "prompt", "negative_prompt", "guidance", "flags")
    assert expected == shards.ANONYMOUS
    values = (png(0), 1, "bag", "a photo of a bag", "", 1.5, "")
    shards.write(at(tmp_path), [values], NAMES, {"anonymous": True}, MUCH, shards.ANONYMOUS)
    (read,) = pq.read_table(tmp_path / "0.parquet").to_pylist()
    assert tuple(read) == expected
    assert (read["image"]["bytes"], *list(read.values())[1:]) == values


def test_the_spec_of_a_row_is_the_one_that_was_written(tmp_path: Path) -> None:
    described = ImageSpec("3", "bag", 7, 2, 2**62, 1.5, "a photo of a bag", "blurred")
    shards.write(at(tmp_path), [shards.row_of(png(0), 1, 3, "", "r", described)], NAMES, HEADER, MUCH)
    (read,) = pq.read_table(tmp_path / "0.parquet").to_pylist()
    assert shards.spec_of(read) == described


def test_equal_content_gives_equal_bytes(tmp_path: Path) -> None:
    rows = [row(i) for i in range(1_500)]
    write = partial(shards.write, class_names=NAMES, most_bytes=MUCH)
    (a, _), *_ = write(at(tmp_path / "a"), rows, header=HEADER)
    (b, _), *_ = write(at(tmp_path / "b"), iter(rows), header=dict(reversed(HEADER.items())))
    (c, _), *_ = write(at(tmp_path / "c"), rows[:-1], header=HEADER)
    assert a.read_bytes() == b.read_bytes() != c.read_bytes()


def test_the_header_is_read_without_the_rows(tmp_path: Path) -> None:
    shards.write(at(tmp_path), [row(0)], NAMES, HEADER, MUCH)
    assert parquet.read_header(tmp_path / "0.parquet", "generate", Header).model_dump() == HEADER


def test_an_empty_shard_says_what_it_is_and_loads_beside_others(tmp_path: Path) -> None:
    from datasets import ClassLabel, load_dataset

    empty, full = tmp_path / "a.parquet", tmp_path / "b.parquet"
    for most in (MUCH, 0):
        assert shards.write(lambda part: [empty][part], [], NAMES, HEADER, most) == [(empty, 0)]
    assert parquet.read_header(empty, "generate", Header).model_dump() == HEADER
    assert list(read_images([empty])) == []
    shards.write(lambda part: full, [row(1)], NAMES, HEADER, MUCH)
    for files in ([empty, full], [full, empty]):
        table = load_dataset("parquet", data_files=[str(file) for file in files], split="train")
        assert table["index"] == [1]
        assert table.features["label"] == ClassLabel(names=list(NAMES))


def test_rows_beyond_one_row_group_keep_their_order(tmp_path: Path) -> None:
    """2,500 rows are row groups of 1,000, 1,000 and 500."""
    path = tmp_path / "0.parquet"
    images = [str(i).encode() for i in range(2_500)]
    rows = (row(i, image) for i, image in enumerate(images))
    assert shards.write(at(tmp_path), rows, NAMES, HEADER, MUCH) == [(path, 2_500)]
    assert groups(path) == [1_000, 1_000, 500]
    assert list(read_images([path])) == [(i % 3, image) for i, image in enumerate(images)]


def test_a_row_group_ends_at_32_megabytes(tmp_path: Path) -> None:
    """Three images of 12 MB reach the limit, a fourth begins a group."""
    assert shards.write(at(tmp_path), sized(*[12_000_000] * 4), NAMES, HEADER, MUCH) == [(tmp_path / "0.parquet", 4)]
    assert groups(tmp_path / "0.parquet") == [3, 1]


def test_a_row_group_ends_at_rows_or_bytes_whichever_comes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At most 4 rows; closed by the image that brings it to 100 bytes."""
    monkeypatch.setattr(shards, "ROW_GROUP", 4)
    monkeypatch.setattr(shards, "ROW_GROUP_BYTES", 100)
    rows = sized(*[10] * 5, 99, 1, 1, 500, 33, 33, 34, 5)
    shards.write(at(tmp_path), rows, NAMES, HEADER, MUCH)
    assert groups(tmp_path / "0.parquet") == [4, 2, 3, 3, 1]
    assert [image for _, image in read_images([tmp_path / "0.parquet"])] == [row[0] for row in rows]


def test_parts_end_before_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Row groups of two images: 80, 120, 100, 60, 61 and 1 bytes, in parts of at most 200."""
    monkeypatch.setattr(shards, "ROW_GROUP", 2)
    rows = sized(40, 40, 60, 60, 50, 50, 30, 30, 30, 31, 1)
    written = shards.write(at(tmp_path), iter(rows), NAMES, HEADER, 200)
    assert written == [(tmp_path / f"{part}.parquet", count) for part, count in enumerate((4, 4, 3))]
    assert sorted(tmp_path.iterdir()) == [path for path, _ in written]
    assert [image for _, image in read_images(path for path, _ in written)] == [row[0] for row in rows]


def test_a_row_group_beyond_the_limit_has_a_file_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "ROW_GROUP", 1)
    sizes = (50, 50, 300, 50, 101, 100)
    written = shards.write(at(tmp_path), sized(*sizes), NAMES, HEADER, 100)
    assert [count for _, count in written] == [2, 1, 1, 1, 1]
    assert [len(image) for path, _ in written for _, image in read_images([path])] == list(sizes)
    assert [count for _, count in shards.write(at(tmp_path), sized(5, 5), NAMES, HEADER, 0)] == [1, 1]


def test_parts_have_the_header_and_load_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from datasets import ClassLabel, load_dataset

    monkeypatch.setattr(shards, "ROW_GROUP", 2)
    rows = [row(i) for i in range(7)]
    files = [path for path, _ in shards.write(at(tmp_path), rows, NAMES, HEADER, len(rows[0][0]) * 2)]
    assert len(files) == 4
    assert [parquet.read_header(file, "generate", Header).model_dump() for file in files] == [HEADER] * 4
    table = load_dataset("parquet", data_files=[str(file) for file in files], split="train")
    assert table["index"] == list(range(7))
    assert [image.getpixel((0, 0)) for image in table["image"]] == [(i, i, i) for i in range(7)]
    assert table.features["label"] == ClassLabel(names=list(NAMES))


def test_equal_content_gives_equal_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row in the last part leaves the other parts' bytes alone."""
    monkeypatch.setattr(shards, "ROW_GROUP", 2)

    def write(name: str, rows: list[Row]) -> list[bytes]:
        return [path.read_bytes() for path, _ in shards.write(at(tmp_path / name), rows, NAMES, HEADER, 20)]

    rows = sized(*[10] * 5)
    first = write("a", rows)
    assert len(first) == 3
    assert write("b", rows) == write("a", rows) == first
    longer = write("c", [*rows, row(5, b"x" * 10)])
    assert longer[:2] == first[:2]
    assert longer[2] != first[2]


def test_a_changed_image_changes_little_of_a_file(tmp_path: Path) -> None:
    """Cut at two given bytes, which come by chance every 64 kB, most pieces of the new file are in the old one."""

    def content(name: str, images: list[bytes]) -> bytes:
        rows = (row(i, image) for i, image in enumerate(images))
        (path, _), *more = shards.write(at(tmp_path / name), rows, NAMES, HEADER, MUCH)
        assert not more
        return path.read_bytes()

    images = [random.Random(i).randbytes(1_500) for i in range(3_000)]
    cut = b"\x07\x2a"
    old = set(content("old", images).split(cut))
    replaced = content("replaced", [*images[:1_500], bytes(1_700), *images[1_501:]])
    inserted = content("inserted", [*images[:500], bytes(1_700), *images[500:]])
    for new in (replaced, inserted):
        known = sum(len(piece) for piece in new.split(cut) if piece in old)
        assert 0.75 * len(new) < known < len(new)


def test_an_error_among_the_rows_leaves_the_old_shard(tmp_path: Path) -> None:
    path = tmp_path / "0.parquet"
    shards.write(at(tmp_path), [row(0)], NAMES, HEADER, MUCH)
    before = path.read_bytes()

    def rows() -> Iterator[Row]:
        for i in range(1_200):
            yield row(i)
        raise KeyError

    with pytest.raises(KeyError):
        shards.write(at(tmp_path), rows(), NAMES, HEADER, MUCH)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("content", [None, b"", b"PAR1 but no Parquet PAR1"])
def test_a_header_that_cannot_be_read_names_the_file(tmp_path: Path, content: Any) -> None:
    path = tmp_path / "a"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ArtifactError, match=f"{path}: run: dvc repro .*generate"):
        parquet.read_header(path, "generate", Header).model_dump()
