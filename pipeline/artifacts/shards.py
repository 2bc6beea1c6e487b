"""Shards: one client's synthetic images as a Parquet file that ``datasets.load_dataset`` reads as it is."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass, fields
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import atomic
from pipeline.artifacts import parquet

_ROW_GROUP = 1_000


@dataclass(frozen=True, slots=True)
class SyntheticImage:
    """One row of a shard: the image, and everything needed to draw it again."""

    image: bytes
    label: int
    class_name: str
    client: int
    lane: str
    index: int
    prompt: str
    negative_prompt: str
    guidance: float
    seed: int
    retry: int
    recipe: str


@cache
def _schema(class_names: tuple[str, ...]) -> pa.Schema:
    """Return the Arrow schema with the features' description that ``datasets`` looks for."""
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
        "recipe": text,
    }
    schema: pa.Schema = Features(types).arrow_schema
    return schema


def write(path: Path, rows: Iterable[SyntheticImage], class_names: Sequence[str], header: dict[str, Any]) -> int:
    """Write one shard, whole or not at all, holding one row group in memory; return the number of rows.

    PNG bytes are stored as they are; the other columns are dictionary-coded and compressed. Page borders follow
    content, so that a changed image changes few pages. Equal content gives an equal file.
    """
    schema = parquet.with_header(_schema(tuple(class_names)), header)
    names = [field.name for field in fields(SyntheticImage)]
    leaves = dict.fromkeys(names[1:], "zstd") | {"image.bytes": "none", "image.path": "none"}
    total, source = 0, iter(rows)
    with (
        atomic.replacing(path) as temporary,
        pq.ParquetWriter(
            temporary,
            schema,
            compression=leaves,
            use_dictionary=["class_name", "lane", "prompt", "negative_prompt", "recipe"],
            use_content_defined_chunking=True,
        ) as writer,
    ):
        while group := list(islice(source, _ROW_GROUP)):
            columns = dict(zip(names, zip(*map(astuple, group), strict=True), strict=True))
            columns["image"] = tuple({"bytes": image, "path": None} for image in columns["image"])
            writer.write_table(pa.table(columns, schema=schema), row_group_size=_ROW_GROUP)
            total += len(group)
    return total


def read_images(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield (label, encoded image) of each row, one row group in memory at a time."""
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(_ROW_GROUP, columns=["label", "image.bytes"]):
            images = batch.column("image").field("bytes")
            yield from zip(batch.column("label").to_pylist(), images.to_pylist(), strict=True)
