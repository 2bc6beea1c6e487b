"""Read shards, which may come from anybody: exact columns only, in memory that does not depend on what they declare."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict

from pipeline.artifacts import marks, pages, parquet, shards
from pipeline.artifacts.encoded import Encoding
from pipeline.errors import ArtifactError

Columns = dict[str, list[Any]]
"""The values of some rows by column; ``image`` holds the encoded images."""

_TEXT_BYTES = 64_000_000  # of all columns of a row group but the images
_CODED = ["image.bytes", *(name for name, column in shards.described().items() if column.kind == "string")]
"""Columns whose equal values are kept once, as they are in the file: a thousand rows may share one of megabytes."""
_SPECIAL = {"image": pa.struct({"bytes": pa.binary(), "path": pa.string()}), "label": pa.int64()}


class Header(parquet.Header):
    """What a client's shard says of itself beside its columns."""

    client: int
    recipe: str
    plan: str


class _Label(BaseModel):
    names: list[str]


class _Features(BaseModel):
    label: _Label


class _Info(BaseModel):
    features: _Features


class _Description(BaseModel):
    """The part that we need of what ``datasets`` stores in the schema."""

    model_config = ConfigDict(strict=True)

    info: _Info


def read_header(path: Path, class_names: Sequence[str], rows: int, fix: str) -> Header:
    """Return a shard's header; raise ArtifactError unless it has the columns, class names and number of rows."""
    with _opened(path, class_names, rows, fix) as file:
        return _header(file)


def read(
    path: Path, class_names: Sequence[str], encoding: Encoding, fix: str, rows: int | None = None
) -> Iterator[Columns]:
    """Yield the rows of a file of images, up to a thousand at a time; it is a shard, or has no column of clients.

    Raises ArtifactError, before it takes the memory, if the file has other columns, class names or (where it is given)
    another number of rows, or if one of its row groups declares more bytes than such images take.
    """
    with _opened(path, class_names, rows, fix) as file, path.open("rb") as plain:
        metadata = file.metadata
        for i in range(metadata.num_row_groups):
            _check_size(plain, metadata.row_group(i), encoding)
            yield _values(file.read_row_group(i, use_threads=False))


@contextmanager
def _opened(path: Path, class_names: Sequence[str], rows: int | None, fix: str) -> Iterator[pq.ParquetFile]:
    """Open a shard's file; turn all that is wrong with it, also in the block, into an ArtifactError."""
    try:
        metadata = pq.read_metadata(path)
        _check_described(metadata, class_names, rows)
        there = {metadata.schema.column(i).path for i in range(metadata.num_columns)}
        with pq.ParquetFile(path, metadata=metadata, read_dictionary=[n for n in _CODED if n in there]) as file:
            yield file
    except (pa.ArrowException, OSError, ValueError) as error:
        raise ArtifactError(f"not a shard ({parquet.short(error)})", path, fix) from None


def _check_described(metadata: pq.FileMetaData, class_names: Sequence[str], rows: int | None) -> None:
    """Raise ValueError if a file's footer describes something else than images of these classes."""
    if rows is not None and metadata.num_rows != rows:
        raise ValueError(f"{metadata.num_rows} rows, not {rows}")
    groups = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
    if sum(groups) != metadata.num_rows or not all(0 <= count <= shards.ROW_GROUP for count in groups):
        raise ValueError("row groups of other sizes")
    described = metadata.schema.to_arrow_schema()
    if not any(described.equals(_schema(columns)) for columns in shards.KINDS):
        raise ValueError("other columns")
    if marks.COLUMN in described.names and described.metadata.get(marks.KEY) != marks.SOURCE_TYPE.encode():
        raise ValueError("a footer without the mark that the images are synthetic")
    if _class_names(described) != list(class_names):
        raise ValueError("other class names")


def _header(file: pq.ParquetFile) -> Header:
    return Header.model_validate_json(parquet.header_of(file.schema_arrow))


@cache
def _schema(columns: tuple[str, ...]) -> pa.Schema:
    """Return names and types of the columns as ``shards.schema`` has them; ``datasets`` takes seconds to load."""
    kinds = {name: column.kind for name, column in shards.described().items() if name in columns}
    return pa.schema([(name, _SPECIAL.get(kind) or pa.type_for_alias(kind)) for name, kind in kinds.items()])


def _class_names(described: pa.Schema) -> list[str]:
    text = (described.metadata or {}).get(b"huggingface")
    if not text:
        raise ValueError("it does not name its classes")
    return _Description.model_validate_json(text).info.features.label.names


def _check_size(plain: Any, group: pq.RowGroupMetaData, encoding: Encoding) -> None:
    """Raise ValueError if the pages of a row group take more memory than those of a shard of such images."""
    left = {True: shards.ROW_GROUP_BYTES + encoding.most_bytes + 65_536, False: _TEXT_BYTES}
    for i in range(group.num_columns):
        column = group.column(i)
        places = (column.dictionary_page_offset, column.data_page_offset)
        start = min(place for place in places if place is not None)
        of_images = column.path_in_schema == "image.bytes"
        for page in pages.pages(plain, start, column.total_compressed_size):
            left[of_images] -= page.bytes
            if left[of_images] < 0:
                raise ValueError(f"a row group declares too many bytes in column {column.path_in_schema}")


def _values(table: pa.Table) -> Columns:
    """Return the columns of a row group as lists; raise ValueError for an empty value or an image elsewhere."""
    image = table.column("image").combine_chunks()
    content, elsewhere = image.field("bytes"), image.field("path")
    if image.null_count or any(column.null_count for column in table.columns):
        raise ValueError("an empty value")
    if content.null_count or elsewhere.null_count != len(elsewhere):
        raise ValueError("an image that is not in the file itself")
    named = dict(zip(table.column_names, table.columns, strict=True))
    return {name: _list(content if name == "image" else column.combine_chunks()) for name, column in named.items()}


def _list(column: pa.Array | pa.ChunkedArray) -> list[Any]:
    """Return a column's values; rows that share a value in the file share one object."""
    if isinstance(column, pa.ChunkedArray):  # where there are no rows
        return [value for chunk in column.chunks for value in _list(chunk)]
    if not pa.types.is_dictionary(column.type):
        return list(column.to_pylist())
    if column.null_count:
        raise ValueError("an empty value")
    values = column.dictionary.to_pylist()
    return [values[place] for place in column.indices.to_pylist()]
