"""One cell of a picture column as the bytes of a picture file, or as an array of pixels."""

import os
from pathlib import Path, PurePosixPath

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.data import digests
from pipeline.data.columns import has_paths, is_list
from pipeline.errors import DataError

_PLACES = "write its bytes, or a path below the data set's folder"


def content(cell: pa.Scalar, folders: tuple[Path, ...]) -> bytes | NDArray[np.uint8]:
    """Return what a cell holds; a path is read below the first of ``folders``, or if it is below one of the others.

    Raises DataError for an empty cell, for a path elsewhere or an address, and for numbers that are no pixels.
    """
    if isinstance(cell, pa.ExtensionScalar):
        cell = cell.value
    if not cell.is_valid:
        raise DataError("no picture (null)", "a row", "fill it or remove the row")
    if is_list(cell.type):
        return _levels(cell)
    value = cell.as_py()
    path = value.get("path") if isinstance(value, dict) else value
    held = value.get("bytes") if isinstance(value, dict) else value
    if isinstance(held, bytes):
        return held
    if not isinstance(path, str) or not path:
        raise DataError("no picture (null)", "a row", "fill it or remove the row")
    return _file(path, folders)


def paths(cells: pa.ChunkedArray) -> list[str]:
    """Return the paths in a picture column, in order, whether the bytes are beside them or not."""
    found: list[str] = []
    for chunk in cells.chunks if has_paths(cells.type) else []:
        named = pc.struct_field(chunk, "path") if pa.types.is_struct(chunk.type) else chunk
        found += [path for path in named.to_pylist() if path]
    return found


def digests_of(named: list[str], folders: tuple[Path, ...]) -> list[str]:
    """Return the digests of the files that rows name, of those that exist: most names are what a file was called."""
    there: dict[Path, frozenset[str]] = {}
    places = []
    for place in (_place(path, folders) for path in named):
        if place is None:
            continue
        if place.parent not in there:
            try:
                there[place.parent] = frozenset(os.listdir(place.parent))
            except OSError:
                there[place.parent] = frozenset()
        if place.name in there[place.parent] and place.is_file():
            places.append(place)
    return digests.of(folders[0], places)


def _place(path: str, folders: tuple[Path, ...]) -> Path | None:
    """Return where a file that a row names is, or None if that is not a place to read from."""
    pure = PurePosixPath(path)
    if "\0" in path or "://" in path or "\\" in path or ".." in pure.parts:
        return None
    if pure.is_absolute() and not any(Path(path).is_relative_to(other) for other in folders[1:]):
        return None
    return folders[0] / path  # an absolute path stays as it is


def _file(path: str, folders: tuple[Path, ...]) -> bytes:
    """Read a file that a row names; only one below the data set's folder, or in the Hub's cache."""
    place = _place(path, folders)
    if place is None:
        raise DataError(f"the row names {path!r}, which is not below the data set's folder", "a row", _PLACES)
    try:
        if place.is_file():
            return place.read_bytes()
        why = "there is no such file"
    except OSError as error:
        why = str(error.strerror)
    raise DataError(f"the row names {path!r}: {why}", "a row", "add the file or remove the row")


def _levels(cell: pa.Scalar) -> NDArray[np.uint8]:
    values, shape = cell.values, [len(cell.values)]
    while True:
        if values.null_count:
            raise DataError("pixels that are null", "a row", "fill them or remove the row")
        if not is_list(values.type):
            break
        lengths = pc.unique(pc.list_value_length(values)).to_pylist()
        if len(lengths) != 1:
            raise DataError("lines of pixels of different lengths", "a row", "repair or remove the row")
        shape.append(lengths[0])
        values = values.flatten()
    if not pa.types.is_integer(values.type):
        raise DataError(f"pixels of type {values.type}", "a row", "write whole numbers from 0 to 255")
    numbers = values.to_numpy(zero_copy_only=False)
    if len(numbers) and (numbers.min() < 0 or numbers.max() > 255):
        what = f"pixels from {numbers.min()} to {numbers.max()}"
        raise DataError(what, "a row", "write whole numbers from 0 to 255")
    levels: NDArray[np.uint8] = numbers.astype(np.uint8).reshape(shape)
    return levels
