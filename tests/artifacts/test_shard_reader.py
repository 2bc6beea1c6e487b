"""Shards that somebody else wrote: bombs, other schemas, and files that contradict themselves."""

import contextlib
import io
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.artifacts import pages, shard_pictures, shard_reader, shards
from pipeline.artifacts.encoded import Encoding
from pipeline.artifacts.spec import ImageSpec
from pipeline.errors import ArtifactError
from tests.synthetic import png

NAMES = ("bag", "coat")
HEADER = {"client": 0, "recipe": "r", "plan": "p"}
PNG = Encoding("png", 16)
MEGABYTE = 1 << 20


def rows(count: int, image: Callable[[int], bytes] = png) -> list[shards.Row]:
    return [
        shards.row_of(image(i), i % 2, 0, "", "r", ImageSpec("0", NAMES[i % 2], i, 0, i, 1.0, "one bag", ""))
        for i in range(count)
    ]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A shard of five images."""
    place = tmp_path / "client-00000.parquet"
    shards.write(lambda _: place, rows(5), NAMES, HEADER, 10**9)
    return place


def read(path: Path, count: int | None = None) -> list[shard_reader.Columns]:
    return list(shard_reader.read(path, NAMES, PNG, "ask again", count))


def refused(path: Path, reason: str, count: int | None = None) -> None:
    with pytest.raises(ArtifactError, match=rf"^not a shard \(.*{reason}.*\): {path}: ask again$") as raised:
        read(path, count)
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 500


def test_a_shard_is_read_as_it_was_written(path: Path) -> None:
    (columns,) = read(path, 5)
    assert list(columns) == list(shards.COLUMNS)
    assert list(zip(*columns.values(), strict=True)) == rows(5)
    header = shard_reader.read_header(path, NAMES, 5, "ask again")
    assert header.model_dump() == HEADER


def test_a_file_by_another_writer_is_read_too(path: Path) -> None:
    """Compressed, dictionary-coded, in the second version of the format's pages or types."""
    table = pq.read_table(path)
    for options in ({}, {"compression": "gzip"}, {"use_dictionary": False}, {"version": "2.4"}):
        pq.write_table(table, path, **options)
        (columns,) = read(path, 5)
        assert list(zip(*columns.values(), strict=True)) == rows(5)


def bomb(path: Path, value: bytes, count: int = 1_000) -> None:
    """Write a shard whose images are all this value, which is in the file once."""
    schema, same = shards.schema(NAMES), pa.array([0] * count, pa.int32())
    coded = pa.DictionaryArray.from_arrays(same, pa.array([value], pa.binary()))
    columns: dict[str, pa.Array] = {
        name: pa.array([value] * count, kind)
        for name, kind, value in zip(schema.names, schema.types, rows(1)[0], strict=True)
        if name != "image"
    }
    table = pa.table(
        {"image": pa.StructArray.from_arrays([coded, pa.nulls(count, pa.string())], ["bytes", "path"]), **columns}
    )
    with pq.ParquetWriter(path, table.schema, compression="zstd", store_schema=False) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata({name.decode(): text.decode() for name, text in schema.metadata.items()})


def test_a_value_that_is_in_the_file_once_is_in_memory_once(tmp_path: Path) -> None:
    """8 MiB, a thousand times: 8.6 GB if every row had its own; the file has a few kilobytes."""
    path = tmp_path / "bomb.parquet"
    bomb(path, bytes(8 * MEGABYTE))
    assert path.stat().st_size < 10_000
    (columns,) = read(path)
    assert len(columns["image"]) == 1_000
    assert {len(image) for image in columns["image"]} == {8 * MEGABYTE}
    assert len({id(image) for image in columns["image"]}) == 1
    with pytest.raises(ArtifactError, match=r"\(an image takes 8,388,608 bytes, and at most 67,072 are read\)"):
        list(shard_pictures.pictures([path], NAMES, PNG, "ask again"))


def test_more_than_such_images_take_is_refused_before_it_is_read(tmp_path: Path) -> None:
    """By what the page declares: neither Arrow's memory nor Python's grows."""
    path = tmp_path / "bomb.parquet"
    bomb(path, bytes(40 * MEGABYTE))
    assert path.stat().st_size < 20_000
    before = pa.total_allocated_bytes()
    refused(path, "declares too many bytes in column image.bytes")
    assert pa.total_allocated_bytes() - before < MEGABYTE


def test_a_footer_that_states_smaller_sizes_is_not_believed(tmp_path: Path) -> None:
    """The footer says 1,000 bytes instead of forty million; memory is taken by what the page says."""
    path = tmp_path / "bomb.parquet"
    bomb(path, bytes(40 * MEGABYTE))
    size = pq.read_metadata(path).row_group(0).column(0).total_uncompressed_size
    content = path.read_bytes()
    stated = varint(2 * size)
    assert content.count(stated) == 1
    path.write_bytes(content.replace(stated, padded(2_000, len(stated))))
    assert pq.read_metadata(path).row_group(0).column(0).total_uncompressed_size == 1_000
    refused(path, "declares too many bytes in column image.bytes")


def varint(value: int) -> bytes:
    """Return Thrift's form of a number."""
    parts = []
    while value > 127:
        parts.append(value & 127 | 128)
        value >>= 7
    return bytes([*parts, value])


def padded(value: int, length: int) -> bytes:
    """Return a form of a number that is longer than need be."""
    parts = [value >> 7 * i & 127 | 128 for i in range(length)]
    return bytes([*parts[:-1], parts[-1] & 127])


def test_long_texts_that_rows_share_are_in_memory_once(path: Path) -> None:
    table = pq.read_table(path)
    place, field = table.schema.get_field_index("prompt"), table.schema.field("prompt")
    pq.write_table(table.set_column(place, field, pa.array(["x" * MEGABYTE] * 5)), path, compression="zstd")
    (columns,) = read(path)
    assert len({id(prompt) for prompt in columns["prompt"]}) == 1
    pq.write_table(table.set_column(place, field, pa.array(["x" * 65 * MEGABYTE] * 5)), path, compression="zstd")
    refused(path, "declares too many bytes in column prompt")


def test_encodings_that_make_long_values_of_short_ones_are_refused(path: Path) -> None:
    """In a page of deltas each value may repeat the start of the one before it."""
    pq.write_table(pq.read_table(path), path, use_dictionary=False, column_encoding={"prompt": "DELTA_BYTE_ARRAY"})
    refused(path, "encoding 7")


def with_column(table: pa.Table, name: str, values: pa.Array) -> pa.Table:
    return table.set_column(table.schema.get_field_index(name), pa.field(name, values.type), values)


def images(
    table: pa.Table, content: list[bytes | None], place: list[str | None], whole: list[bool] | None = None
) -> pa.Table:
    made = pa.StructArray.from_arrays(
        [pa.array(content, pa.binary()), pa.array(place, pa.string())],
        ["bytes", "path"],
        mask=None if whole is None else pa.array([not one for one in whole]),
    )
    return with_column(table, "image", made)


CHANGES: dict[str, tuple[Callable[[pa.Table], pa.Table], str]] = {
    "an image elsewhere": (
        lambda table: images(table, [None] * 5, ["/etc/hostname"] * 5),
        "an image that is not in the file itself",
    ),
    "an address beside the image": (
        lambda table: images(table, [png(0)] * 5, [None] * 4 + ["http://127.0.0.1/x"]),
        "an image that is not in the file itself",
    ),
    "no image": (lambda table: images(table, [png(0)] * 5, [None] * 5, [True] * 4 + [False]), "an empty value"),
    "no prompt": (lambda table: with_column(table, "prompt", pa.array([None, *"abcd"])), "an empty value"),
    "no seed": (lambda table: with_column(table, "seed", pa.array([None, 1, 2, 3, 4])), "an empty value"),
    "another type": (lambda table: with_column(table, "index", pa.array([0.0] * 5)), "other columns"),
    "a column more": (lambda table: table.append_column("more", pa.array([0] * 5)), "other columns"),
    "a column less": (lambda table: table.drop_columns(["retry"]), "other columns"),
    "another order": (lambda table: table.select(table.column_names[::-1]), "other columns"),
    "large texts": (
        lambda table: with_column(table, "prompt", table["prompt"].cast(pa.large_string())),
        "other columns",
    ),
    "nothing": (lambda table: pa.table({}), "other columns"),
    "swapped class names": (
        lambda table: table.replace_schema_metadata(shards.schema(NAMES[::-1]).metadata),
        "other class names",
    ),
    "no class names": (
        lambda table: table.replace_schema_metadata({"gen-fedsd": "{}"}),
        "it does not name its classes",
    ),
    "a list for an object": (
        lambda table: table.replace_schema_metadata({"huggingface": "[]"}),
        "should be an object",
    ),
    "a number for a name": (
        lambda table: table.replace_schema_metadata({"huggingface": '{"info":{"features":{"label":{"names":[5]}}}}'}),
        "valid string",
    ),
    "deep JSON": (lambda table: table.replace_schema_metadata({"huggingface": "[" * 100_000}), "recursion limit"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_another_content_is_refused(path: Path, name: str) -> None:
    change, reason = CHANGES[name]
    pq.write_table(change(pq.read_table(path)), path)
    refused(path, reason)


@pytest.mark.parametrize(
    "header",
    [
        "[" * 100_000,
        "[]",
        "5",
        "null",
        "",
        "{",
        '{"client": "0", "recipe": "r", "plan": "p"}',
        '{"client": 0}',
        "{}",
        "\xff",
    ],
)
def test_a_header_that_is_none_is_refused(path: Path, header: str) -> None:
    metadata = {**shards.schema(NAMES).metadata, b"gen-fedsd": header.encode("latin-1")}
    pq.write_table(pq.read_table(path).replace_schema_metadata(metadata), path)
    with pytest.raises(ArtifactError, match="not a shard"):
        shard_reader.read_header(path, NAMES, 5, "ask again")


def test_another_number_of_rows_is_refused(path: Path) -> None:
    for count in (0, 4, 6, 10**12):
        refused(path, "5 rows, not", count)
    shards.write(lambda _: path, rows(1_001), NAMES, HEADER, 10**9)
    assert [len(columns["label"]) for columns in read(path, 1_001)] == [1_000, 1]
    pq.write_table(pq.read_table(path), path, row_group_size=1_001)
    refused(path, "row groups of other sizes")


@pytest.mark.parametrize("label", [-1, 2, 99, 2**62])
def test_a_label_of_no_class_is_refused(path: Path, label: int) -> None:
    pq.write_table(with_column(pq.read_table(path), "label", pa.array([0, 0, label, 0, 0])), path)
    with pytest.raises(ArtifactError, match=rf"not a shard \(label {label} of 2 classes\)"):
        list(shard_pictures.pictures([path], NAMES, PNG, "ask again"))


@settings(max_examples=settings().max_examples // 4, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_shard_with_other_bytes_is_read_or_refused_in_one_line(path: Path, data: st.DataObject) -> None:
    """Some bytes changed, cut out or repeated anywhere: a file is data, never a traceback."""
    content, other = path.read_bytes(), path.with_name("other.parquet")
    at = data.draw(st.integers(0, len(content)))
    until = data.draw(st.integers(at, min(len(content), at + 40)))
    other.write_bytes(content[:at] + data.draw(st.binary(max_size=40)) + content[until:])
    with contextlib.suppress(ArtifactError):
        for label, picture in shard_pictures.pictures([other], NAMES, PNG, "ask again"):
            assert label < 2
            assert picture.size == (16, 16)


TYPES = [
    pa.int64(),
    pa.float64(),
    pa.string(),
    pa.binary(),
    pa.bool_(),
    pa.null(),
    pa.list_(pa.int64()),
    pa.timestamp("s"),
]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.sampled_from([*shards.COLUMNS, "", "x"]), st.sampled_from(TYPES)), st.integers(0, 3))
def test_parquet_with_another_schema_is_refused(tmp_path: Path, kinds: dict[str, pa.DataType], count: int) -> None:
    path = tmp_path / "other.parquet"
    table = pa.table({name: pa.nulls(count, kind) for name, kind in kinds.items()})
    pq.write_table(table.replace_schema_metadata(shards.schema(NAMES).metadata), path)
    refused(path, "other columns|row groups")


@given(st.binary(max_size=200))
def test_headers_of_pages_end(noise: bytes) -> None:
    """Whatever bytes they are: each page takes at least one byte."""
    with contextlib.suppress(ValueError):
        assert len(list(pages.pages(io.BytesIO(noise), 0, len(noise)))) <= len(noise)


def test_pages_are_those_that_arrow_reads(path: Path) -> None:
    metadata = pq.read_metadata(path)
    of = partial(map, metadata.row_group(0).column)
    with path.open("rb") as file:
        for column in of(range(metadata.num_columns)):
            start = min(filter(None, (column.dictionary_page_offset, column.data_page_offset)))
            found = list(pages.pages(file, start, column.total_compressed_size))
            assert {0: 1, 1: 2}[int(column.has_dictionary_page)] == len(found)
            assert 0 < column.total_uncompressed_size - sum(page.bytes for page in found) < 3_000
