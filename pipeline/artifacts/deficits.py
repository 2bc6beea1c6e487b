"""The deficits: how many images of each label every client has, should have, and is to be given.

In a data set with domains, of each label and domain.
"""

import itertools
from collections.abc import Iterator, Mapping
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
_DOMAIN_TEXTS = ("domain", "domain words")
_WITH_DOMAINS = (
    dict.fromkeys(_NUMBERS[:2], pa.int64())
    | dict.fromkeys((*_TEXTS, *_DOMAIN_TEXTS), pa.string())
    | dict.fromkeys(_NUMBERS[2:], pa.int64())
)
_CLIENTS = 256  # written at a time


@dataclass(frozen=True)
class Deficits:
    """Counts for each client and label, (clients, classes) each; with domains (clients, pairs), see ``pairs``."""

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
    domains: tuple[str, ...] = ()
    """The names of the domains; empty for a data set without any."""
    domain_words: tuple[str, ...] = ()
    """What prompts call the domains."""

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
        """Write a row for each client and label; with domains one for each client, domain and label."""
        clients, width = self.have.shape
        types, encoded = _WITH_DOMAINS if self.domains else _TYPES, pa.string()
        texts = [pa.array(map(printable.csv_cell, names), encoded) for names in self._texts()]
        options = pa.csv.WriteOptions(quoting_style="needed")
        with (
            atomic.replacing(path) as temporary,
            pa.csv.CSVWriter(temporary, pa.schema(types.items()), write_options=options) as writer,
        ):
            for start in range(0, clients, _CLIENTS):
                part = slice(start, start + _CLIENTS)
                numbers = np.arange(start, min(start + _CLIENTS, clients))
                columns = [
                    np.repeat(numbers, width),
                    np.tile(np.arange(width) % len(self.class_names), len(numbers)),
                    *(column.take(np.tile(np.arange(width), len(numbers))) for column in texts),
                    *(counts[part].ravel() for counts in (self.have, self.want, self.missing, self.surplus)),
                ]
                writer.write_table(pa.table(columns, names=list(types)))

    def _texts(self) -> list[tuple[str, ...]]:
        """Return each column of texts, for the rows of one client."""
        classes, named = len(self.class_names), (self.domains, self.domain_words) if self.domains else ()
        return [
            *(names * max(len(self.domains), 1) for names in (self.class_names, self.words)),
            *(tuple(name for name in names for _ in range(classes)) for names in named),
        ]


def load(path: Path) -> Deficits:
    """Read deficits; raise ArtifactError if the file is missing, or is not one row for each client and label."""
    redo = "run: dvc repro -f deficits"
    if not path.is_file():
        raise ArtifactError("no such file", path, "run: dvc repro deficits")
    try:
        types = _types(path)
        parts = [_columns(batch, types) for batch in _batches(path)]
    except (pa.ArrowException, KeyError) as error:
        raise ArtifactError(f"not a deficits table ({error})", path, redo) from None
    cells = {name: np.concatenate([part[name] for part in parts]) for name in _NUMBERS} if parts else {}
    width = int((cells["client"] == 0).sum()) if parts else 0
    classes = int(cells["label"].max()) + 1 if width else 0
    if classes <= 0 or width % classes or len(cells["label"]) % width or (types is _TYPES and width != classes):
        raise ArtifactError("not one row for each client and label", path, redo)
    clients = len(cells["label"]) // width
    grid = {name: values.reshape(clients, width) for name, values in cells.items()}
    labels = np.arange(width) % classes
    if (grid["label"] != labels).any() or (grid["client"] != np.arange(clients)[:, None]).any():
        raise ArtifactError("rows missing or out of order", path, redo)
    for name in ("missing", "surplus"):
        if grid[name].min() < 0:
            raise ArtifactError(f"a negative count in the column {name}", path, redo)
    if (grid["surplus"] > grid["have"]).any():
        raise ArtifactError("a surplus of more images than the client has", path, redo)
    texts = {text: _first(parts, text, width) for text in types if text not in _NUMBERS}
    domains = [texts[name][::classes] if name in texts else () for name in _DOMAIN_TEXTS]
    found = Deficits(
        *(grid[name] for name in _NUMBERS[2:]), *(texts[name][:classes] for name in _TEXTS), domains[0], domains[1]
    )
    if list(texts.values()) != found._texts():
        raise ArtifactError("names that are not those of one class and domain each", path, redo)
    return found


def _first(parts: list[dict[str, Any]], text: str, width: int) -> tuple[str, ...]:
    """Return a column of texts for the first client."""
    cells = itertools.islice(itertools.chain.from_iterable(part[text] for part in parts), width)
    return tuple(map(printable.from_csv_cell, cells))


def _types(path: Path) -> dict[str, pa.DataType]:
    """Return the types of the columns of a file, by whether its head has domains."""
    with path.open(encoding="utf-8", errors="replace") as file:
        head = file.readline().replace('"', "").strip().split(",")
    return _WITH_DOMAINS if "domain" in head else _TYPES


def _batches(path: Path) -> Iterator[pa.RecordBatch]:
    """Read the file a block at a time: a table of ten million cells would take gigabytes at once."""
    with pa.csv.open_csv(
        path,
        parse_options=pa.csv.ParseOptions(newlines_in_values=True),
        convert_options=pa.csv.ConvertOptions(column_types=_WITH_DOMAINS),
    ) as reader:
        yield from reader


def _columns(batch: pa.RecordBatch, types: Mapping[str, pa.DataType]) -> dict[str, Any]:
    """Return a block's columns; a column with an empty cell is as good as none. Texts are kept for the first client."""
    numbers = {name: batch[name].to_numpy() for name in _NUMBERS if batch[name].null_count == 0}
    first = batch["client"].to_numpy() == 0 if "client" in numbers else []
    texts = {text: batch[text].filter(pa.array(first)).to_pylist() for text in types if text not in _NUMBERS}
    return {name: numbers[name] for name in _NUMBERS} | texts
