"""A file that says who holds which image: CSV or Parquet, with a column ``row`` or ``file`` and a column ``client``."""

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import ParameterError

_NEEDED = "the file needs a column client, and a column row (counted from 0 in the training split) or file"


@dataclass(frozen=True)
class Assignment:
    """What a file lists, in its order."""

    kind: Literal["row", "file"]
    """How it names images."""
    keys: Sequence[str]
    clients: Sequence[str]
    shown: str
    """The file, as params.yaml names it."""
    lines: Sequence[int] | None = None
    """The line of each entry in a text file."""

    def where(self, entry: int) -> str:
        """Return how a user finds an entry."""
        return f"{self.shown}, row {entry}" if self.lines is None else f"{self.shown}, line {self.lines[entry]}"


def read(path: Path, shown: str) -> Assignment:
    """Read a file; ``shown`` is what errors call it.

    Raises ParameterError if it cannot be read, lacks a column, or has an entry without an image or a client, or with a
    number that is no client.
    """
    if path.suffix not in (".csv", ".parquet"):
        raise ParameterError("is no .csv or .parquet file", shown, _NEEDED)
    try:
        found = _csv(path, shown) if path.suffix == ".csv" else _parquet(path, shown)
    except (OSError, UnicodeDecodeError, csv.Error, pa.ArrowException) as error:
        why = "no such file" if isinstance(error, FileNotFoundError) else f"cannot be read ({error})"
        raise ParameterError(why, f"params.yaml, partition.assignment = {shown}", _NEEDED) from None
    if not found.keys:
        raise ParameterError("lists no image", shown, _NEEDED)
    for entry, (key, client) in enumerate(zip(found.keys, found.clients, strict=True)):
        if not key or not client:
            what = f"no {'client' if key else found.kind}"
            raise ParameterError(what, found.where(entry), "leave out the whole line of an image that nobody holds")
        if _is_number(client) and not client.isdecimal():
            fix = "clients are whole numbers from 0, or names; leave out the line of an image that nobody holds"
            raise ParameterError(f"{client!r} is no client", found.where(entry), fix)
    return found


def _is_number(text: str) -> bool:
    return re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?|[+-]?(nan|inf)", text, re.I) is not None


def _kind(names: Sequence[str], shown: str) -> Literal["row", "file"]:
    """Return the column that names images."""
    kinds = [name for name in names if name in ("row", "file")]
    if len(kinds) != 1 or names.count("client") != 1:
        raise ParameterError(f"has the columns {', '.join(names[:10]) or 'none'}", shown, _NEEDED)
    return cast(Literal["row", "file"], kinds[0])


def _csv(path: Path, shown: str) -> Assignment:
    keys, clients, lines = list[str](), list[str](), list[int]()
    with path.open(newline="", encoding="utf-8-sig") as file:  # spreadsheets begin a file with a mark
        reader = csv.reader(file, strict=True)
        names = [name.strip() for name in next(reader, [])]
        kind = _kind(names, shown)
        key, client = names.index(kind), names.index("client")
        for cells in reader:
            if not cells:
                continue
            if len(cells) != len(names):
                what = f"{len(cells)} cells, but {len(names)} columns"
                raise ParameterError(what, f"{shown}, line {reader.line_num}", "repair the line")
            keys.append(cells[key].strip())
            clients.append(cells[client].strip())
            lines.append(reader.line_num)
    return Assignment(kind, keys, clients, shown, lines)


def _parquet(path: Path, shown: str) -> Assignment:
    kind = _kind(pq.read_schema(path).names, shown)
    table = pq.read_table(path, columns=[kind, "client"], partitioning=None)
    texts = []
    for name in (kind, "client"):
        values = table[name]
        if pa.types.is_dictionary(values.type):
            values = values.cast(values.type.value_type)
        if not (
            pa.types.is_integer(values.type) or pa.types.is_string(values.type) or pa.types.is_large_string(values.type)
        ):
            raise ParameterError(f"column {name!r} is of type {values.type}", shown, "write whole numbers or texts")
        texts.append(["" if value is None else str(value).strip() for value in values.to_pylist()])
    return Assignment(kind, texts[0], texts[1], shown)
