"""Small data sets of every kind that is read."""

import io
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from pipeline.params import DataParams

Colour = str | tuple[int, int, int]


def params(path: Path, **others: Any) -> DataParams:
    return DataParams(path=str(path), **others)


def save(path: Path, colour: Colour, size: tuple[int, int] = (16, 16)) -> None:
    """Write a picture of one colour."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)


def png(colour: Colour, size: tuple[int, int] = (16, 16)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, "PNG")
    return buffer.getvalue()


def table(path: Path, image: Any, label: Any, **others: Any) -> Path:
    """Write a Parquet file that ``datasets`` did not write; return its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"image": image, "label": label, **others}), path)
    return path.parent
