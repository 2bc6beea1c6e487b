"""Rows of Parquet and Arrow tables, read as they are asked for: labels whole, pictures a row group at a time."""

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline.data import digests, payloads
from pipeline.data.columns import Column, described, has_paths, is_bytes, is_text
from pipeline.data.source import Skipped
from pipeline.errors import DataError

_HELD = 512 << 20
"""Bytes of row groups that are kept for the rows after this one."""
_MOST_OF_A_GROUP = 4 << 30
"""Bytes of pictures that one row group may hold."""


class ParquetRows:
    """The rows of Parquet files, one file after another."""

    def __init__(self, folder: Path, files: Sequence[Path], skipped: Sequence[Skipped] = ()) -> None:
        """Read the files' schemas; paths in rows are below ``folder``. Raises DataError for a file that is damaged."""
        self.folder, self.files, self.skipped = folder, tuple(files), tuple(skipped)
        self.remarks: tuple[str, ...] = ()
        found = [_guarded(file, _outline) for file in self.files]
        self.columns: Mapping[str, Column] = found[0][0]
        for file, (columns, _) in zip(self.files[1:], found[1:], strict=True):
            _check_same(self.columns, columns, self.files[0], file)
        self._parts = [(i, group) for i, (_, lengths) in enumerate(found) for group in range(len(lengths))]
        self._ends = list(accumulate(length for _, lengths in found for length in lengths))
        self._starts = [0, *accumulate(sum(lengths) for _, lengths in found)]
        self._forget()

    def _forget(self) -> None:
        self._groups: OrderedDict[tuple[int, str], pa.ChunkedArray] = OrderedDict()
        self._lock = Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in ("_groups", "_lock")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._forget()

    def __len__(self) -> int:
        return int(self._starts[-1])

    def name(self, row: int) -> str:
        file = bisect_right(self._starts, row) - 1
        return f"{_below(self.folder, self.files[file])} row {row - self._starts[file]}"

    def content(self, column: str, row: int) -> bytes | NDArray[np.uint8]:
        part = bisect_right(self._ends, row)
        start = self._ends[part - 1] if part else 0
        cells = self._group(part, column)
        if row - start >= len(cells):
            raise DataError("no such row", self.name(row), "repair the file or remove it")
        return payloads.content(cells[row - start], (self.folder,))

    def values(self, column: str) -> pa.ChunkedArray:
        coded = [column] if is_text(self.columns[column].type) else []
        return self._whole(column, column, coded)

    def _whole(self, column: str, leaf: str, coded: Sequence[str] = ()) -> pa.ChunkedArray:
        """Return a column, or the leaf of a column, of all files."""

        def read(file: Path) -> pa.Table:
            opened = pq.ParquetFile(file, read_dictionary=list(coded))
            found = opened.read(columns=[leaf], use_threads=False).select([column])
            found.validate(full=True)
            return found.replace_schema_metadata()

        tables = [_guarded(file, read) for file in self.files]
        try:
            found = pa.concat_tables(tables, promote_options="permissive").column(0)
        except pa.ArrowException:
            where = f"{self.files[0]} and others"
            raise DataError(f"column {column!r} has several types", where, "write the files with one schema") from None
        if len(found) != len(self):
            what, fix = f"column {column!r} has {len(found)} of {len(self)} rows", "repair the files or remove them"
            raise DataError(what, self.files[0], fix)
        return found

    def digests(self, column: str) -> list[str]:
        kind, named = self.columns[column].type, []
        if has_paths(kind):
            leaf = f"{column}.path" if pa.types.is_struct(kind) else column
            named = payloads.paths(self._whole(column, leaf))
        return [
            *digests.of(self.folder, self.files),
            *payloads.digests_of(named, (self.folder,)),
        ]

    def _group(self, part: int, column: str) -> pa.ChunkedArray:
        with self._lock:
            if (part, column) not in self._groups:
                made = self._read(part, column)
                while self._groups and made.nbytes + sum(held.nbytes for held in self._groups.values()) > _HELD:
                    self._groups.popitem(last=False)
                self._groups[part, column] = made
            self._groups.move_to_end((part, column))
            return self._groups[part, column]

    def _read(self, part: int, column: str) -> pa.ChunkedArray:
        file, group = self._parts[part]
        kind = self.columns[column].type
        # Values that occur often are stored once, and stay so: a small file may name one picture a million times.
        coded = [f"{column}.bytes"] if pa.types.is_struct(kind) else [column] if is_bytes(kind) else []

        def read(place: Path) -> pa.ChunkedArray:
            opened = pq.ParquetFile(place, read_dictionary=coded, memory_map=True)
            size = opened.metadata.row_group(group).total_byte_size
            if size > _MOST_OF_A_GROUP:
                raise DataError(f"a row group of {size >> 20} MiB", place, "write it with smaller row groups")
            found = opened.read_row_group(group, columns=[column], use_threads=False).column(column)
            found.validate(full=True)
            return found

        return _guarded(self.files[file], read)


class ArrowRows:
    """The rows of Arrow files that ``Dataset.save_to_disk`` wrote, mapped into memory."""

    def __init__(self, folder: Path, files: Sequence[Path], skipped: Sequence[Skipped] = ()) -> None:
        """Map the files; paths in rows are below ``folder``. Raises DataError for a file that is damaged."""
        self.folder, self.files, self.skipped = folder, tuple(files), tuple(skipped)
        self.remarks: tuple[str, ...] = ()
        self.columns: Mapping[str, Column] = described(self._table.schema, self.files[0])

    @cached_property
    def _table(self) -> pa.Table:
        tables = [_guarded(file, _mapped) for file in self.files]
        for file, table in zip(self.files, tables, strict=True):
            _check_same(described(tables[0].schema, self.files[0]), described(table.schema, file), self.files[0], file)
        return pa.concat_tables(tables, promote_options="permissive")

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_table"}

    def __len__(self) -> int:
        return int(self._table.num_rows)

    def name(self, row: int) -> str:
        return f"{_below(self.folder, self.files[0].parent)} row {row}"

    def content(self, column: str, row: int) -> bytes | NDArray[np.uint8]:
        return payloads.content(self._table.column(column)[row], self._folders)

    def values(self, column: str) -> pa.ChunkedArray:
        return self._table.column(column)

    def digests(self, column: str) -> list[str]:
        held = payloads.digests_of(payloads.paths(self._table.column(column)), self._folders)
        return [*digests.of(self.files[0].parent, self.files), *held]

    @property
    def _folders(self) -> tuple[Path, ...]:
        return (self.folder,)


def _outline(file: Path) -> tuple[dict[str, Column], list[int]]:
    """Return a Parquet file's columns, and the rows of each row group."""
    opened = pq.ParquetFile(file, memory_map=True)
    lengths = [opened.metadata.row_group(group).num_rows for group in range(opened.num_row_groups)]
    if sum(lengths) != opened.metadata.num_rows or min(lengths, default=0) < 0:
        raise DataError("row groups of other lengths than the file", file, "repair the file or remove it")
    return described(opened.schema_arrow, file), lengths


def _mapped(file: Path) -> pa.Table:
    found = pa.ipc.open_stream(pa.memory_map(str(file))).read_all()
    found.validate(full=True)
    return found


def _check_same(columns: Mapping[str, Column], others: Mapping[str, Column], first: Path, file: Path) -> None:
    """Raise DataError if two files of one split have other columns, or other names for the same numbers."""
    named = {name: (column.feature, column.names) for name, column in columns.items()}
    if named != {name: (column.feature, column.names) for name, column in others.items()}:
        raise DataError(f"its columns or class names differ from those of {first.name}", file, "write both alike")


def _below(folder: Path, file: Path) -> str:
    return file.relative_to(folder).as_posix()


def _guarded(file: Path, read: Callable[[Path], Any]) -> Any:
    """Return what ``read`` returns; raise DataError for a file that is missing, or not what it should be."""
    try:
        return read(file)
    except DataError:
        raise
    except Exception as error:  # pyarrow raises many types of damaged files; each means the same to the user
        why = " ".join(str(error).split())[:200]
        raise DataError(f"cannot load the data set ({why})", file, "repair the file or remove it") from None
