"""What the pages of a Parquet file declare, read without decoding a value.

A footer may state smaller sizes than the pages have. Arrow takes memory by what the pages state, so that is what
limits have to be compared with. The headers of pages are structs in Thrift's compact protocol.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

_MOST_HEADER = 65_536
_MOST_DEPTH = 4
_DETAILS = {0: 5, 2: 7}  # fields that describe a page of data, and one of a dictionary
_ENCODINGS = (0, 2, 3, 8)  # plain, dictionary (two numbers), run lengths; none makes long values of short ones
_TRUE, _FALSE, _BYTE, _INTEGERS, _DOUBLE, _TEXT, _LISTS, _STRUCT = 1, 2, 3, (4, 5, 6), 7, 8, (9, 10), 12


@dataclass(frozen=True)
class Page:
    """One page of a column."""

    bytes: int
    """When it is decompressed."""
    encoding: int


def pages(file: BinaryIO, start: int, size: int) -> Iterator[Page]:
    """Yield the pages between two places of a file; raise ValueError for what no writer of Parquet would write."""
    end = start + size
    while start < end:
        file.seek(start)
        header = _Header(file.read(min(_MOST_HEADER, end - start)))
        fields = header.struct()
        kind, unpacked, packed = (fields.get(number) for number in (1, 2, 3))
        details = fields.get(_DETAILS.get(kind, 0)) if isinstance(kind, int) else None
        if not isinstance(details, dict) or not isinstance(unpacked, int) or not isinstance(packed, int):
            raise ValueError("a page of unknown kind")
        encoding = details.get(2)
        if min(unpacked, packed) < 0 or not isinstance(encoding, int) or encoding not in _ENCODINGS:
            raise ValueError(f"a page of {unpacked} bytes in encoding {encoding}")
        yield Page(unpacked, encoding)
        start += header.length + packed


class _Header:
    """Reads a struct of Thrift's compact protocol: values by the number of their field."""

    def __init__(self, content: bytes) -> None:
        self._content, self.length = content, 0

    def struct(self, depth: int = 0) -> dict[int, Any]:
        """Read the fields of a struct."""
        if depth > _MOST_DEPTH:
            raise ValueError("a page's header is too deep")
        fields, number = dict[int, Any](), 0
        while byte := self._byte():
            number = number + (byte >> 4) if byte >> 4 else self._signed()
            fields[number] = self._value(byte & 15, depth)
        return fields

    def _value(self, kind: int, depth: int) -> Any:
        if kind in (_TRUE, _FALSE):
            return kind == _TRUE
        if kind in _INTEGERS:
            return self._signed()
        if kind == _STRUCT:
            return self.struct(depth + 1)
        if kind in _LISTS:
            head = self._byte()
            count = self._unsigned() if head >> 4 == 15 else head >> 4
            return [self._value(head & 15, depth + 1) for _ in range(min(count, _MOST_HEADER))]
        self._skip({_BYTE: 1, _DOUBLE: 8}[kind] if kind in (_BYTE, _DOUBLE) else self._text(kind))
        return None

    def _text(self, kind: int) -> int:
        if kind != _TEXT:
            raise ValueError("a page's header is damaged")
        return self._unsigned()

    def _skip(self, count: int) -> None:
        if self.length + count > len(self._content):
            raise ValueError("a page's header is cut off, or too long")
        self.length += count

    def _byte(self) -> int:
        self._skip(1)
        return self._content[self.length - 1]

    def _unsigned(self) -> int:
        value = 0
        for place in range(0, 70, 7):
            byte = self._byte()
            value |= (byte & 127) << place
            if byte < 128:
                return value
        raise ValueError("a page's header is damaged")

    def _signed(self) -> int:
        value = self._unsigned()
        return (value >> 1) ^ -(value & 1)
