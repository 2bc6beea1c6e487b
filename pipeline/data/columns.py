"""The columns of a table of pictures: what each holds, and which one is the picture and which one the label."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import pyarrow as pa

from pipeline.errors import DataError

_LABELS = ("label", "labels")
_PATHS = ("image", "img", "picture", "photo", "file", "file_name", "filename", "image_path", "path")


@dataclass(frozen=True)
class Column:
    """What one column holds."""

    type: pa.DataType
    feature: str = ""
    """The type that ``datasets`` gave it ("Image", "ClassLabel"), if it wrote the table."""
    names: tuple[str, ...] = ()
    """Of a ClassLabel, the name of each number."""


def described(schema: pa.Schema, where: object) -> dict[str, Column]:
    """Return a table's columns by name; features are in the metadata that ``datasets`` writes into its schemas.

    Raises DataError if two columns have one name, or a name is no text.
    """
    try:
        names = schema.names
        for field in schema:
            _names(field.type)
    except UnicodeDecodeError:
        raise DataError("a column's name is not UTF-8", where, "repair the file or remove it") from None
    if len(set(names)) < len(names):
        raise DataError("two columns have one name", where, "rename one of them")
    try:
        document = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
        features = document["info"]["features"] if "info" in document else {}
    except (ValueError, TypeError, KeyError, RecursionError):
        features = {}
    found = features if isinstance(features, dict) else {}
    return {field.name: _column(field.type, found.get(field.name)) for field in schema}


def _names(arrow: pa.DataType) -> list[str]:
    """Return the names of all fields in a type; raise UnicodeDecodeError for one that is no text."""
    fields = [arrow.field(i) for i in range(arrow.num_fields)]
    return [field.name for field in fields] + [name for field in fields for name in _names(field.type)]


def _column(arrow: pa.DataType, feature: object) -> Column:
    storage = arrow.storage_type if isinstance(arrow, pa.BaseExtensionType) else arrow
    if not isinstance(feature, dict) or feature.get("_type") not in ("Image", "ClassLabel"):
        return Column(storage)
    names = feature.get("names")
    if names is None and isinstance(count := feature.get("num_classes"), int):
        names = [str(number) for number in range(min(count, 1_000_000))]
    if feature["_type"] == "ClassLabel" and not (isinstance(names, list) and pa.types.is_integer(storage)):
        return Column(storage)
    return Column(storage, feature["_type"], tuple(str(name) for name in names or ()))


def choose_image(columns: Mapping[str, Column], named: str | None, where: str) -> str:
    """Return the picture column: the named one, or the only one that can be it.

    Columns that the data set declares as pictures come first, then files and arrays of pixels, then paths of files.
    """
    tests: tuple[Callable[[str, Column], bool], ...] = (
        lambda _, column: column.feature == "Image",
        lambda _, column: _holds_files(column.type) or depth(column.type) > 1,
        lambda name, column: name.lower() in _PATHS and is_text(column.type),
    )
    found: list[str] = []
    for test in tests:
        found = found or [name for name, column in columns.items() if test(name, column)]
    chosen = _choose(columns, named, found, "image_column", where)
    column = columns[chosen]
    if column.feature != "Image" and not (_holds_files(column.type) or depth(column.type) > 1 or is_text(column.type)):
        what, fix = f"column {chosen!r} holds {column.type}, no pictures", f"name one of {', '.join(columns)}"
        raise DataError(what, f"{where}, data.image_column", fix)
    return chosen


def choose_label(columns: Mapping[str, Column], named: str | None, where: str) -> str:
    """Return the label column: the named one, the only class-label column, or the one of that name."""
    found = [name for name, column in columns.items() if column.feature == "ClassLabel" or name in _LABELS]
    return _choose(columns, named, found, "label_column", where)


def _choose(columns: Iterable[str], named: str | None, found: list[str], key: str, where: str) -> str:
    known = ", ".join(columns)
    if named is not None:
        if named not in columns:
            raise DataError(f"no column {named!r}", f"params.yaml, data.{key}", f"columns of {where} are {known}")
        return named
    if len(found) != 1:
        what = f"{len(found)} columns could be it ({', '.join(found)})" if found else "no column looks like it"
        raise DataError(what, f"params.yaml, data.{key}", f"name one of {', '.join(found) or known}")
    return found[0]


def _holds_files(arrow: pa.DataType) -> bool:
    """Return whether values are files, or have a field ``bytes`` (null or not)."""
    if not pa.types.is_struct(arrow):
        return is_bytes(arrow)
    held = [arrow.field(i).type for i in range(arrow.num_fields) if arrow.field(i).name == "bytes"]
    return len(held) == 1 and (is_bytes(held[0]) or pa.types.is_null(held[0]))


def is_bytes(arrow: pa.DataType) -> bool:
    """Return whether values are bytes, dictionary-coded or not."""
    held = arrow.value_type if pa.types.is_dictionary(arrow) else arrow
    return bool(pa.types.is_binary(held) or pa.types.is_large_binary(held) or pa.types.is_binary_view(held))


def has_paths(arrow: pa.DataType) -> bool:
    """Return whether values may name files."""
    if not pa.types.is_struct(arrow):
        return is_text(arrow)
    return any(arrow.field(i).name == "path" and is_text(arrow.field(i).type) for i in range(arrow.num_fields))


def depth(arrow: pa.DataType) -> int:
    """Return how many lists are in each other."""
    return 1 + depth(arrow.value_type) if is_list(arrow) else 0


def is_list(arrow: pa.DataType) -> bool:
    """Return whether values are lists, of any or of one length."""
    return bool(pa.types.is_list(arrow) or pa.types.is_large_list(arrow) or pa.types.is_fixed_size_list(arrow))


def is_text(arrow: pa.DataType) -> bool:
    """Return whether values are texts, dictionary-coded or not."""
    held = arrow.value_type if pa.types.is_dictionary(arrow) else arrow
    return bool(pa.types.is_string(held) or pa.types.is_large_string(held) or pa.types.is_string_view(held))
