"""Shards: one client's synthetic images as Parquet that ``datasets.load_dataset`` reads as it is."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from functools import cache
from operator import attrgetter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import atomic
from pipeline.artifacts import parquet

_ROW_GROUP = 1_000
_ROW_GROUP_BYTES = 32_000_000  # of images; what a reader holds at a time


@dataclass(slots=True)
class SyntheticImage:
    """One row of a shard: the image, and everything needed to draw it again."""

    image: bytes
    label: int
    class_name: str
    """The name that prompts call the class by; the label's own name is in the schema."""
    client: int
    lane: str
    index: int
    prompt: str
    negative_prompt: str
    guidance: float
    seed: int
    retry: int
    flags: str
    recipe: str


@dataclass(slots=True)
class AnonymousImage:
    """A row that tells nothing of the client that lacked the image."""

    image: bytes
    label: int
    class_name: str
    prompt: str
    negative_prompt: str
    guidance: float
    flags: str


Row = SyntheticImage | AnonymousImage


def _names(kind: type[Row]) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind))


def schema(class_names: Sequence[str], kind: type[Row] = SyntheticImage) -> pa.Schema:
    """Return the Arrow schema of shards, with the features' description that ``datasets`` looks for."""
    return _schema(_names(kind), tuple(class_names))


@cache
def _schema(names: tuple[str, ...], class_names: tuple[str, ...]) -> pa.Schema:
    from datasets import ClassLabel, Features, Image, Value

    text = Value("string")
    types: dict[str, Any] = {
        "image": Image(),
        "label": ClassLabel(names=list(class_names)),
        "class_name": text,
        "client": Value("int32"),
        "lane": text,
        "index": Value("int32"),
        "prompt": text,
        "negative_prompt": text,
        "guidance": Value("float64"),
        "seed": Value("int64"),
        "retry": Value("int32"),
        "flags": text,
        "recipe": text,
    }
    made: pa.Schema = Features({name: types[name] for name in names}).arrow_schema
    return made


def write(
    place: Callable[[int], Path],
    rows: Iterable[Row],
    class_names: Sequence[str],
    header: dict[str, Any],
    most_bytes: int,
    kind: type[Row] = SyntheticImage,
) -> list[tuple[Path, int]]:
    """Write one shard and return its files with their numbers of rows; each is there whole or not at all.

    ``place`` names each part, from 0; a part is closed before another row group would bring its images beyond
    ``most_bytes``, which bounds row groups too, but for their last image. There is at least one file. Only one row
    group is held in memory.
    """
    names, groups = _names(kind), _row_groups(rows, min(most_bytes, _ROW_GROUP_BYTES))
    values, described = attrgetter(*names), schema(class_names, kind)
    group, files = next(groups, None), list[tuple[Path, int]]()
    while group or not files:
        path, total, size = place(len(files)), 0, 0
        with (
            atomic.replacing(path) as temporary,
            _writer(temporary, described, header) as writer,
        ):
            while group and (total == 0 or size + _bytes(group) <= most_bytes):
                columns: dict[str, Any] = dict(zip(names, zip(*map(values, group), strict=True), strict=True))
                columns["image"] = pa.StructArray.from_arrays(
                    [pa.array(columns["image"], pa.binary()), pa.nulls(len(group), pa.string())], ["bytes", "path"]
                )
                writer.write_table(pa.table(columns, schema=writer.schema), row_group_size=_ROW_GROUP)
                total, size = total + len(group), size + _bytes(group)
                group = next(groups, None)
        files.append((path, total))
    return files


def _row_groups(rows: Iterable[Row], enough: int) -> Iterator[list[Row]]:
    """Yield rows in lists that end at a number of rows or of bytes, whichever comes first."""
    group, size = list[Row](), 0
    for row in rows:
        group.append(row)
        size += len(row.image)
        if len(group) == _ROW_GROUP or size >= enough:
            yield group
            group, size = [], 0
    if group:
        yield group


def _bytes(group: list[Row]) -> int:
    return sum(len(row.image) for row in group)


def _writer(path: Path, described: pa.Schema, header: dict[str, Any]) -> pq.ParquetWriter:
    """Open a Parquet file.

    Image bytes are stored as they are; the other columns are dictionary-coded and compressed. Page borders follow
    content, so that a changed image changes few pages. Equal content gives an equal file.
    """
    metadata = described.names[1:]
    return pq.ParquetWriter(
        path,
        parquet.with_header(described, header),
        compression=dict.fromkeys(metadata, "zstd") | {"image.bytes": "none", "image.path": "none"},
        use_dictionary=[name for name in metadata if described.field(name).type == pa.string()],
        use_content_defined_chunking=True,
    )


def read_images(paths: Iterable[Path]) -> Iterator[tuple[int, bytes]]:
    """Yield (label, encoded image) of each row of a shard's files, one row group in memory at a time."""
    for path in paths:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(_ROW_GROUP, columns=["label", "image.bytes"]):
                images = batch.column("image").field("bytes")
                yield from zip(batch.column("label").to_pylist(), images.to_pylist(), strict=True)
