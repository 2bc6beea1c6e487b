"""Encoded images that stand in for those of a model, and shards as they are, for the tests of what reads both."""

import io
import struct
import zlib
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from PIL import Image


def png(number: int, side: int = 16, kind: str = "png") -> bytes:
    """Return an image of random pixels; each number has its own."""
    buffer = io.BytesIO()
    levels = np.random.default_rng(number).integers(0, 256, (side, side, 3)).astype(np.uint8)
    Image.fromarray(levels).save(buffer, kind)
    return buffer.getvalue()


@cache
def plain(colour: tuple[int, int, int], side: int = 16) -> bytes:
    """Return an image of one colour."""
    buffer = io.BytesIO()
    Image.new("RGB", (side, side), colour).save(buffer, "PNG")
    return buffer.getvalue()


def read_images(paths: Iterable[Path]) -> Iterator[tuple[int, bytes]]:
    """Yield label and encoded image of each row, whether it is an image or not."""
    for path in paths:
        table = pq.read_table(path, columns=["label", "image"])
        for row in table.to_pylist():
            yield row["label"], row["image"]["bytes"]


def declared(side: int) -> bytes:
    """Return a PNG of a few bytes that declares to be this large; its pixels would take gigabytes."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(1_000))) + chunk(b"IEND", b"")
    )
