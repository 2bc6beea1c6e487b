"""Clients that the user brings: a column of the data set, or a file, says who holds which image."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.clients import assignment
from pipeline.data.labels import natural
from pipeline.errors import ParameterError
from pipeline.params import PartitionParams

Int64 = NDArray[np.int64]
_KEY = "params.yaml, partition.clients"


@dataclass(frozen=True)
class Split:
    """The training split, and those of its rows that a client can hold."""

    rows: Int64
    """(N,) rows of the split, ascending: not bad, not held out."""
    count: int
    """Rows of the split in all."""
    column: Callable[[str], NDArray[Any]]
    """What a column holds for each row, (count,); raises DataError for a column that there is not."""
    files: Callable[[], Sequence[str] | None]
    """The file of each row, below the split's folder, (count,); None where rows are no files."""


@dataclass(frozen=True)
class Owners:
    """Who holds which image."""

    clients: Int64
    """(N,) the client of each row that a client can hold; -1 for nobody."""
    count: int
    """How many clients there are."""
    names: tuple[str, ...] | None
    """What the user calls each client; None where that is its number."""
    remarks: tuple[str, ...] = ()
    """What was left out, one sentence each."""


def given(params: PartitionParams, split: Split, root: Path) -> Owners | None:
    """Return who holds which image where the parameters say so, None where the scheme draws it.

    Paths in ``params`` start at ``root``. Raises ParameterError or DataError for a column or file that cannot be used.
    """
    if params.scheme == "column" and params.column is not None:
        return by_column(split.column(params.column)[split.rows], params.column, params.clients)
    if params.scheme == "assignment" and params.assignment is not None:
        listed = assignment.read(root / params.assignment, params.assignment)
        return by_assignment(listed, split, params.clients)
    return None


def by_column(values: NDArray[Any], column: str, clients: int | None = None) -> Owners:
    """Return a client for each distinct value of a column, in natural order: 2 before 10, also inside texts.

    ``values`` are those of the rows that a client can hold, ``clients`` how many clients are expected. Raises
    ParameterError for a row without a value, values that are no texts or numbers, or another number of clients.
    """
    where = f"column {column!r}"
    texts = [_text(value) for value in values.tolist()]
    if None in texts:
        what = f"a value of type {type(values[texts.index(None)]).__name__} names no client"
        raise ParameterError(what, where, "name a column of texts or numbers in partition.column")
    if empty := texts.count(""):
        what = f"{empty} of {len(texts)} images have no value"
        raise ParameterError(what, where, "fill them in, or list the images to use in a file: partition.assignment")
    numbers, names = _number([text for text in texts if text])
    _expect(len(names), clients, where)
    return Owners(numbers, len(names), _unless_numbers(names))


def by_assignment(listed: assignment.Assignment, split: Split, clients: int | None = None) -> Owners:
    """Return the client of every row that a file lists; nobody holds the others.

    Whole numbers from 0 without a gap, or below ``clients``, are the clients' numbers; else clients are numbered in
    natural order of what the file calls them. Raises ParameterError for an unknown row or file, one that is listed
    twice, and for another number of clients.
    """
    places = _places(listed, split)
    order = np.argsort(places, kind="stable")
    twice = np.flatnonzero(np.diff(places[order]) == 0)
    if len(twice):
        first, again = sorted(order[twice[0] : twice[0] + 2].tolist())
        where = f"{listed.where(first)} and {listed.where(again)}"
        raise ParameterError(f"{listed.kind} {listed.keys[first]!r} is listed twice", where, "list each image once")
    numbers, names = _number(listed.clients)
    whole = [int(name) for name in names if name.isdecimal() and str(int(name)) == name]
    if clients is not None and len(whole) == len(names) and max(whole) < clients:
        numbers, names = np.array([int(text) for text in listed.clients]), [str(i) for i in range(clients)]
    _expect(len(names), clients, listed.shown)
    owners = np.full(split.count, -1, np.int64)
    owners[places] = numbers
    held = owners[split.rows]
    remarks = _left_out(len(split.rows) - int((held >= 0).sum()), len(places) - int((held >= 0).sum()), listed.shown)
    if not (held >= 0).any():
        raise ParameterError("lists no image that can be used", listed.shown, "list rows of data.train")
    return Owners(held, len(names), _unless_numbers(names), tuple(remarks))


def _places(listed: assignment.Assignment, split: Split) -> Int64:
    """Return the row in the split of each entry of a file."""
    if listed.kind == "row":
        found = np.array([int(key) if key.isdecimal() and len(key) < 19 else -1 for key in listed.keys], np.int64)
        found[found >= split.count] = -1
        known = f"rows are 0 to {split.count - 1}"
    else:
        files = split.files()
        if files is None:
            fix = "list rows: a column row instead of file, which counts the training split from 0"
            raise ParameterError("the images of the data set are no files", f"{listed.shown}, column file", fix)
        place = {file: i for i, file in enumerate(files)}
        found = np.array([place.get(key, -1) for key in listed.keys], np.int64)
        known = f"files are named below the folder of the split, such as {files[0]!r}"
    unknown = np.flatnonzero(found < 0)
    if len(unknown):
        what = f"{len(unknown)} {listed.kind}s are not in the training split, the first: {listed.keys[unknown[0]]!r}"
        raise ParameterError(what, listed.where(int(unknown[0])), known)
    return found


def _left_out(unlisted: int, unusable: int, where: str) -> Iterator[str]:
    if unlisted:
        yield f"{unlisted} images that {where} does not list are left out"
    if unusable:
        yield f"{unusable} images that {where} lists are left out: they are held out for testing, or cannot be read"


def _text(value: object) -> str | None:
    """Return a value as text, empty if there is none; None for what names nobody."""
    if value is None or value != value:  # noqa: PLR0124  # not a number
        return ""
    if not isinstance(value, str | int | float | np.number | np.bool_):
        return None
    text = str(value)
    return "" if text.isspace() else text


def _number(texts: Sequence[str]) -> tuple[Int64, list[str]]:
    """Return the client of each text, and the text of each client, in natural order."""
    names = sorted(set(texts), key=_order)
    place = {name: i for i, name in enumerate(names)}
    return np.array([place[text] for text in texts], np.int64), names


def _order(text: str) -> tuple[object, ...]:
    """Order negative numbers before all else; then as people count."""
    negative = text.startswith("-") and text[1:].isdecimal()
    return (0, int(text)) if negative else (1, natural(text))


def _unless_numbers(names: Sequence[str]) -> tuple[str, ...] | None:
    return None if list(names) == [str(i) for i in range(len(names))] else tuple(names)


def _expect(found: int, clients: int | None, where: str) -> None:
    if clients is not None and found != clients:
        raise ParameterError(f"{clients} clients, but {where} has {found}", _KEY, f"write {found}, or null")
