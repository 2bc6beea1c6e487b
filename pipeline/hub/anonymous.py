"""Merge clients' shards into files by class that do not reveal which client an image belongs to."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from pipeline import progress
from pipeline.artifacts import marks, shards
from pipeline.artifacts.manifest import File, Manifest

_ROWS = 1_000
GUESSABLE = 2**100
"""Root seeds below this can be found by trial: one hash compared with a prompt shows whether a guess is right."""


def merge(known: Manifest, folder: Path, megabytes: int) -> dict[int, list[File]]:
    """Write the images of all clients by class, each once, ordered by their SHA-256; return the files by label.

    Client, lane, index and seed are left out: each names the client of an image or lets a reader compute it; so would
    the order. Memory does not grow with the number of images: a database on disk sorts them.
    """
    columns = shards.anonymous(bool(known.domains), known.marked)
    with closing(sqlite3.connect(folder / "sorting.sqlite", isolation_level=None)) as db:
        db.executescript(
            "pragma journal_mode = off; pragma synchronous = off;"
            f"create table images (digest, {', '.join(columns)}, primary key (label, digest)) without rowid"
        )
        with progress.bar("merging", len(known.shards), "clients") as advance:
            for shard in known.shards:
                for path in known.paths(shard):
                    db.execute("begin")
                    places = ", ".join("?" * (1 + len(columns)))
                    db.executemany(f"insert or ignore into images values ({places})", _rows(path, columns))
                    db.execute("commit")
                advance()
        return {
            label: _write(db, label, columns, known, folder, megabytes)
            for (label,) in db.execute("select distinct label from images order by label").fetchall()
        }


def _rows(path: Path, columns: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    """Yield the SHA-256 of each image and the values of the columns that merged files have."""
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(_ROWS, columns=list(columns)):
            values = {name: batch.column(name) for name in columns}
            values["image"] = values["image"].field("bytes")
            images = values["image"].to_pylist()
            others = (column.to_pylist() for column in values.values())
            for image, *row in zip(images, *others, strict=True):
                yield sha256(image).digest(), *row


def _write(
    db: sqlite3.Connection, label: int, columns: Sequence[str], known: Manifest, folder: Path, megabytes: int
) -> list[File]:
    rows = db.execute(f"select {', '.join(columns)} from images where label = ? order by digest", (label,))
    place, header = partial(_place, folder, label), {"anonymous": True}
    written = shards.write(place, rows, known.class_names, header, megabytes * 1_000_000, columns)
    return [File.of(path, count) for path, count in written]


def _place(folder: Path, label: int, part: int) -> Path:
    return folder / (f"class-{label:05}.part-{part:03}.parquet" if part else f"class-{label:05}.parquet")


def describe(known: Manifest, files: dict[int, list[File]]) -> dict[str, Any]:
    """Return the manifest of the merged files, without the recipe's root seed and digest: they reveal the clients."""
    recipe = {name: value for name, value in known.recipe_text.items() if name != "seed"}
    gate = {} if known.gate is None else {"gate": asdict(known.gate), "refused": list(known.refusals())}
    mark = {marks.COLUMN: marks.SOURCE_TYPE} if known.marked else {}
    domains = {"domains": list(known.domains)} if known.domains else {}
    return {
        **gate,
        **mark,
        **domains,
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
