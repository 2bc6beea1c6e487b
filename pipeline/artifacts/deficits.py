"""The deficits: how many images of each label every client has, should have, and is to be given."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
from numpy.typing import NDArray

from pipeline import atomic, printable
from pipeline.errors import ArtifactError

_NUMBERS = ("client", "label", "have", "want", "missing", "surplus")
_TEXTS = ("class name", "words")
_TYPES = (
    dict.fromkeys(_NUMBERS[:2], pa.int64())
    | dict.fromkeys(_TEXTS, pa.string())
    | dict.fromkeys(_NUMBERS[2:], pa.int64())
)
_CLIENTS = 256  # written at a time


@dataclass(frozen=True)
class Deficits:
    """Counts for each client and label, (clients, classes) each."""

    have: NDArray[np.int64]
    """Real images."""
    want: NDArray[np.int64]
    """What the rule asks for, before ratio and caps."""
    missing: NDArray[np.int64]
    """Images to make: at most want - have, never negative."""
    surplus: NDArray[np.int64]
    """Real images that fills with images for the gaps leave out in their place: at most have - want."""
    class_names: tuple[str, ...]
    words: tuple[str, ...] = ()
    """What prompts call the classes; their names, if none are given."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "words", self.words or self.class_names)

    @property
    def lacking(self) -> NDArray[np.int64]:
        """What the rule asks for beyond what clients have, before ratio and caps, (clients, classes)."""
        lacking: NDArray[np.int64] = np.maximum(self.want - self.have, 0)
        return lacking

    @property
    def filled(self) -> NDArray[np.int64]:
        """What clients hold with every deficit filled, (clients, classes)."""
        return self.have + self.missing - self.surplus

    def save(self, path: Path) -> None:
        clients, classes = self.have.shape
        labels = np.arange(classes)
        names, words = (
            pa.array(map(printable.csv_cell, texts), pa.string()) for texts in (self.class_names, self.words)
        )
        options = pa.csv.WriteOptions(quoting_style="needed")
        with (
            atomic.replacing(path) as temporary,
            pa.csv.CSVWriter(temporary, pa.schema(_TYPES.items()), write_options=options) as writer,
        ):
            for start in range(0, clients, _CLIENTS):
                part = slice(start, start + _CLIENTS)
                numbers = np.arange(start, min(start + _CLIENTS, clients))
                columns = [
                    np.repeat(numbers, classes),
                    np.tile(labels, len(numbers)),
                    *(texts.take(np.tile(labels, len(numbers))) for texts in (names, words)),
                    *(counts[part].ravel() for counts in (self.have, self.want, self.missing, self.surplus)),
                ]
                writer.write_table(pa.table(columns, names=list(_TYPES)))


def load(path: Path) -> Deficits:
    """Read deficits; raise ArtifactError if the file is missing, or is not one row for each client and label."""
    redo = "run: dvc repro -f deficits"
    if not path.is_file():
        raise ArtifactError("no such file", path, "run: dvc repro deficits")
    try:
        parts = [_columns(batch) for batch in _batches(path)]
    except (pa.ArrowException, KeyError) as error:
        raise ArtifactError(f"not a deficits table ({error})", path, redo) from None
    cells = {name: np.concatenate([part[name] for part in parts]) for name in _NUMBERS} if parts else {}
    classes = int(cells["label"].max()) + 1 if parts and len(cells["label"]) else 0
    if classes <= 0 or len(cells["label"]) % classes:
        raise ArtifactError("not one row for each client and label", path, redo)
    clients = len(cells["label"]) // classes
    grid = {name: values.reshape(clients, classes) for name, values in cells.items()}
    if (grid["label"] != np.arange(classes)).any() or (grid["client"] != np.arange(clients)[:, None]).any():
        raise ArtifactError("rows missing or out of order", path, redo)
    for name in ("missing", "surplus"):
        if grid[name].min() < 0:
            raise ArtifactError(f"a negative count in the column {name}", path, redo)
    if (grid["surplus"] > grid["have"]).any():
        raise ArtifactError("a surplus of more images than the client has", path, redo)
    names, words = (
        tuple(
            map(
                printable.from_csv_cell,
                itertools.islice(itertools.chain.from_iterable(part[text] for part in parts), classes),
            )
        )
        for text in _TEXTS
    )
    return Deficits(grid["have"], grid["want"], grid["missing"], grid["surplus"], names, words)


def _batches(path: Path) -> Iterator[pa.RecordBatch]:
    """Read the file a block at a time: a table of ten million cells would take gigabytes at once."""
    with pa.csv.open_csv(
        path,
        parse_options=pa.csv.ParseOptions(newlines_in_values=True),
        convert_options=pa.csv.ConvertOptions(column_types=_TYPES),
    ) as reader:
        yield from reader


def _columns(batch: pa.RecordBatch) -> dict[str, Any]:
    """Return a block's columns; a column with an empty cell is as good as none. Texts are kept for the first client."""
    numbers = {name: batch[name].to_numpy() for name in _NUMBERS if batch[name].null_count == 0}
    first = batch["client"].to_numpy() == 0 if "client" in numbers else []
    texts = {text: batch[text].filter(pa.array(first)).to_pylist() for text in _TEXTS}
    return {name: numbers[name] for name in _NUMBERS} | texts
