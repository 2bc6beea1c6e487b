"""Shards: one client's synthetic images as Parquet that ``datasets.load_dataset`` reads as it is."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from operator import attrgetter, itemgetter
from pathlib import Path
from typing import Annotated, Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import atomic
from pipeline.artifacts import marks, parquet, spec
from pipeline.artifacts.gate import Score
from pipeline.artifacts.spec import Column, ImageSpec

ROW_GROUP = 1_000
ROW_GROUP_BYTES = 32_000_000  # of images; what a reader holds at a time


Row = tuple[Any, ...]
"""The values of one image, in the order of the columns; the first is the encoded image."""


class _Beside:
    """What a shard stores of an image beside its spec."""

    image: Annotated[bytes, Column(0, "image", anonymous=True)]
    label: Annotated[int, Column(1, "label", anonymous=True)]
    """In the order of the data set's class names, which are in the schema."""
    client: Annotated[int, Column(3, "int32")]
    flags: Annotated[str, Column(11, "string", anonymous=True)]
    """Remarks on the quality of the image."""
    recipe: Annotated[str, Column(12, "string")]
    """The digest of the recipe."""


class _Judged:
    """What a shard stores of an image that a gate's judge saw."""

    judged: Annotated[int, Column(13, "label")]
    """The label that the judge gave it."""
    probability: Annotated[float, Column(14, "float64")]
    """Of the image's own label, by the judge."""


_DOMAIN = {"domain": Column(15, "string", anonymous=True)}
"""What the data set calls the image's domain, if it has any."""
_MARK = {marks.COLUMN: Column(16, "string", anonymous=True)}
"""The mark that the image is synthetic, see ``marks``; files that were written before there was one lack it."""
_BESIDE, _SCORE = spec.columns(_Beside), spec.columns(_Judged)
_DESCRIBED = dict(
    sorted((_BESIDE | _SCORE | spec.columns(ImageSpec) | _DOMAIN | _MARK).items(), key=lambda item: item[1].place)
)


def columns(gated: bool, domains: bool, marked: bool) -> tuple[str, ...]:
    """Return the columns of a client's shard, in order: with a gate's scores, with domains, with the mark."""
    left_out = [*(() if gated else _SCORE), *(() if domains else _DOMAIN), *(() if marked else _MARK)]
    return tuple(name for name in _DESCRIBED if name not in left_out)


def anonymous(domains: bool, marked: bool) -> tuple[str, ...]:
    """Return the columns of a file that does not show which clients lack its images."""
    return tuple(name for name in columns(False, domains, marked) if _DESCRIBED[name].anonymous)


COLUMNS, GATED, ANONYMOUS = columns(False, False, False), columns(True, False, False), anonymous(False, False)
"""The columns of files that have neither domains nor marks."""
_BOTH = (False, True)
KINDS = (
    *(columns(*kind) for kind in itertools.product(_BOTH, _BOTH, _BOTH)),
    *(anonymous(*kind) for kind in itertools.product(_BOTH, _BOTH)),
)
"""The columns of each kind of file of images."""

_values = attrgetter(*spec.NAMES)
_given = (*_BESIDE, *spec.NAMES)
_ordered = itemgetter(*map(_given.index, COLUMNS))


def described() -> Mapping[str, Column]:
    """Return how each column of a client's shard is stored, in order; those of a gate's scores are the last."""
    return _DESCRIBED


def row_of(
    image: bytes,
    label: int,
    client: int,
    flags: str,
    recipe: str,
    described: ImageSpec,
    score: Score | None = None,
    domain: str | None = None,
    *,
    marked: bool = False,
) -> Row:
    """Return the row of one image, values in the order of ``columns(score is given, domain is given, marked)``."""
    made: Row = _ordered((image, label, client, flags, recipe, *_values(described)))
    scored = () if score is None else (score.label, score.probability)
    return (*made, *scored, *(() if domain is None else (domain,)), *((marks.SOURCE_TYPE,) if marked else ()))


def spec_of(values: Mapping[str, Any]) -> ImageSpec:
    """Return the spec of an image from a row's values by name."""
    return ImageSpec(*(values[name] for name in spec.NAMES))


def schema(class_names: Sequence[str], columns: Sequence[str] = COLUMNS) -> pa.Schema:
    """Return the Arrow schema of shards, with the features' description that ``datasets`` looks for."""
    return _schema(tuple(columns), tuple(class_names))


@cache
def _schema(columns: tuple[str, ...], class_names: tuple[str, ...]) -> pa.Schema:
    from datasets import ClassLabel, Features, Image, Value

    special: dict[str, Any] = {"image": Image(), "label": ClassLabel(names=list(class_names))}
    kinds = {name: _DESCRIBED[name].kind for name in columns}
    made: pa.Schema = Features({name: special.get(kind) or Value(kind) for name, kind in kinds.items()}).arrow_schema
    return made


def write(
    place: Callable[[int], Path],
    rows: Iterable[Row],
    class_names: Sequence[str],
    header: dict[str, Any],
    most_bytes: int,
    columns: Sequence[str] = COLUMNS,
) -> list[tuple[Path, int]]:
    """Write one shard and return its files with their numbers of rows; each is there whole or not at all.

    ``place`` names each part, from 0. A part ends before the row group that would bring its images beyond
    ``most_bytes``; a row group has at most about as many bytes, too: only its last image may exceed them. There is at
    least one file. Only one row group is held in memory.
    """
    groups, described = _row_groups(rows, min(most_bytes, ROW_GROUP_BYTES)), schema(class_names, columns)
    group, files = next(groups, None), list[tuple[Path, int]]()
    while group or not files:
        path, total, size = place(len(files)), 0, 0
        with atomic.replacing(path) as temporary, _writer(temporary, described, header) as writer:
            while group and (total == 0 or size + _bytes(group) <= most_bytes):
                writer.write_table(_table(group, writer.schema), row_group_size=ROW_GROUP)
                total, size = total + len(group), size + _bytes(group)
                group = next(groups, None)
        files.append((path, total))
    return files


def _table(group: list[Row], described: pa.Schema) -> pa.Table:
    images, *others = zip(*group, strict=True)
    encoded = pa.StructArray.from_arrays(
        [pa.array(images, pa.binary()), pa.nulls(len(group), pa.string())], ["bytes", "path"]
    )
    return pa.table(dict(zip(described.names, [encoded, *others], strict=True)), schema=described)


def _row_groups(rows: Iterable[Row], enough: int) -> Iterator[list[Row]]:
    """Yield rows in lists that end at a number of rows or of bytes, whichever comes first."""
    group, size = list[Row](), 0
    for row in rows:
        group.append(row)
        size += len(row[0])
        if len(group) == ROW_GROUP or size >= enough:
            yield group
            group, size = [], 0
    if group:
        yield group


def _bytes(group: list[Row]) -> int:
    return sum(len(row[0]) for row in group)


def _writer(path: Path, described: pa.Schema, header: dict[str, Any]) -> pq.ParquetWriter:
    """Open a Parquet file.

    Image bytes are stored as they are; the other columns are dictionary-coded and compressed. Page borders follow
    content, so that a changed image changes few pages. Equal content gives an equal file.
    """
    metadata = described.names[1:]
    if marks.COLUMN in metadata:
        described = described.with_metadata({**(described.metadata or {}), marks.KEY: marks.SOURCE_TYPE.encode()})
    return pq.ParquetWriter(
        path,
        parquet.with_header(described, header),
        compression=dict.fromkeys(metadata, "zstd") | {"image.bytes": "none", "image.path": "none"},
        use_dictionary=[name for name in metadata if described.field(name).type == pa.string()],
        use_content_defined_chunking=True,
    )
