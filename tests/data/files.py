"""Picture files written by hand, byte for byte, so that what they must show depends on no library."""

import io
import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def encoded(picture: Image.Image, name: str = "PNG", **options: Any) -> bytes:
    """Return a picture as a file."""
    buffer = io.BytesIO()
    picture.save(buffer, name, **options)
    return buffer.getvalue()


def png(levels: NDArray[Any], depth: int, *chunks: tuple[bytes, bytes], palette: bool = False) -> bytes:
    """Return levels (H, W) or (H, W, channels) as a PNG of ``depth`` bits; ``chunks`` come before the pixels."""
    height, width = levels.shape[:2]
    channels = 1 if levels.ndim == 2 else levels.shape[2]
    kind = 3 if palette else {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    lines = levels.reshape(height, -1)
    if depth == 16:
        packed = [line.astype(">u2").tobytes() for line in lines]
    elif depth == 8:
        packed = [line.astype(np.uint8).tobytes() for line in lines]
    else:
        bits = (lines[:, :, None] >> np.arange(depth - 1, -1, -1)) & 1
        packed = [np.packbits(line.reshape(-1).astype(np.uint8)).tobytes() for line in bits]
    content = zlib.compress(b"".join(b"\0" + line for line in packed))
    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    parts = [(b"IHDR", header), *chunks, (b"IDAT", content), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in parts
    )


def tiff(levels: NDArray[np.uint16], bits: int, photometric: int = 1, order: str = "<") -> bytes:
    """Return grey levels (H, W) as an uncompressed TIFF of 12 or 16 bits; photometric 0 means that 0 is white."""
    height, width = levels.shape
    if bits == 16:
        content = levels.astype(f"{order}u2").tobytes()
    else:
        assert width % 2 == 0
        high, low = levels[:, ::2].astype(int), levels[:, 1::2].astype(int)
        content = np.stack([high >> 4, (high & 15) << 4 | low >> 8, low & 255], 2).astype(np.uint8).tobytes()
    entries = [(256, width), (257, height), (258, bits), (259, 1), (262, photometric), (277, 1), (278, height)]
    start = 8 + 2 + 12 * (len(entries) + 2) + 4
    table = [(tag, 3, value) for tag, value in entries] + [(273, 4, start), (279, 4, len(content))]
    packed = b"".join(
        struct.pack(f"{order}HHI", tag, kind, 1)
        + (struct.pack(f"{order}HH", value, 0) if kind == 3 else struct.pack(f"{order}I", value))
        for tag, kind, value in sorted(table)
    )
    magic = b"II" if order == "<" else b"MM"
    return (
        magic + struct.pack(f"{order}HI", 42, 8) + struct.pack(f"{order}H", len(table)) + packed + b"\0" * 4 + content
    )
