"""Merge clients' shards into class-wise files from which no client can be told."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from pipeline import progress
from pipeline.artifacts import shards
from pipeline.artifacts.manifest import File, Manifest
from pipeline.artifacts.shards import AnonymousImage

_COLUMNS = ("class_name", "prompt", "negative_prompt", "guidance", "flags")
_ROWS = 1_000
GUESSABLE = 2**100
"""Root seeds below this might be tried out one by one: a prompt tells in one hash whether a guess is right."""


def merge(known: Manifest, folder: Path, megabytes: int) -> dict[int, list[File]]:
    """Write the images of all clients by class, each once, ordered by their own digest; return the files by label.

    Client, lane, index and seed are left out: each tells, or lets one compute, whose image it is; so would the order.
    Memory does not grow with the number of images: they are sorted in a database on disk.
    """
    with closing(sqlite3.connect(folder / "sorting.sqlite", isolation_level=None)) as db:
        db.executescript(
            "pragma journal_mode = off; pragma synchronous = off;"
            "create table images (label integer, digest blob, image blob, class_name text, prompt text,"
            " negative_prompt text, guidance real, flags text, primary key (label, digest)) without rowid"
        )
        with progress.bar("merging", len(known.shards), "clients") as advance:
            for shard in known.shards:
                for path in shard.paths:
                    db.execute("begin")
                    db.executemany("insert or ignore into images values (?, ?, ?, ?, ?, ?, ?, ?)", _rows(path))
                    db.execute("commit")
                advance()
        return {
            label: _write(db, label, known, folder, megabytes)
            for (label,) in db.execute("select distinct label from images order by label").fetchall()
        }


def _rows(path: Path) -> Iterator[tuple[Any, ...]]:
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(_ROWS, columns=["label", "image.bytes", *_COLUMNS]):
            images = batch.column("image").field("bytes").to_pylist()
            others = (batch.column(name).to_pylist() for name in _COLUMNS)
            for label, image, *rest in zip(batch.column("label").to_pylist(), images, *others, strict=True):
                yield label, sha256(image).digest(), image, *rest


def _write(db: sqlite3.Connection, label: int, known: Manifest, folder: Path, megabytes: int) -> list[File]:
    query = f"select image, {', '.join(_COLUMNS)} from images where label = ? order by digest"
    found = db.execute(query, (label,))
    rows = (AnonymousImage(image, label, *rest) for image, *rest in found)
    place, header = partial(_place, folder, label), {"anonymous": True}
    written = shards.write(place, rows, known.class_names, header, megabytes * 1_000_000, AnonymousImage)
    return [File.of(path, count) for path, count in written]


def _place(folder: Path, label: int, part: int) -> Path:
    return folder / (f"class-{label:05}.part-{part:03}.parquet" if part else f"class-{label:05}.parquet")


def described(known: Manifest, files: dict[int, list[File]]) -> dict[str, Any]:
    """Return the manifest of the merged files: the recipe without root seed and digest, which give clients away."""
    recipe = {name: value for name, value in known.recipe_text.items() if name != "seed"}
    return {
        "anonymous": True,
        "class_names": list(known.class_names),
        "sharing": known.sharing,
        "recipe_text": recipe,
        "files": [
            {"name": f.name, "label": label, "rows": f.rows, "bytes": f.bytes, "sha256": f.sha256}
            for label, of_class in files.items()
            for f in of_class
        ],
    }
