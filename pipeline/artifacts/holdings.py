"""Holdings: which rows of which source each client trains on, and on how many samples in a round."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline import atomic
from pipeline.artifacts import parquet
from pipeline.artifacts.partition import Source
from pipeline.errors import ArtifactError

Int64 = NDArray[np.int64]
_REDO = "run: dvc repro -f fill"
REAL = "real"
"""The source of the real images, in every fill."""
_VERSION = 2
_SAMPLES = "samples, equal "
_OWN = "real images of its own"
_COUNTS = "images of each class"


@dataclass(frozen=True)
class _Header(parquet.Header):
    """What a file of holdings says beside its columns."""

    version: Literal[2]
    fill: str
    sources: dict[str, Source]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    rounds: int | None
    class_names: list[str]
    image_size: int
    start: str | None


@dataclass(frozen=True)
class Holdings:
    """What every client trains on, with one fill. A central run is holdings with one client."""

    fill: str
    sources: Mapping[str, Source]
    """By name: ``real`` (all training images in the data set's order), ``synthetic`` (in order of client), ..."""
    rows: Mapping[str, tuple[Int64, ...]]
    """For each source, the rows that each client holds."""
    samples: Mapping[str, Int64]
    """For each budget, how many images each client draws in a round, (clients,); batches of ``train.batch_size`` are
    cut from them, so that the last one of a round may be smaller."""
    own: Int64
    """Real images that the partition gives each client, whether it trains on them or not, (clients,)."""
    mean: tuple[float, ...]
    """(3,) of the channels of the clients' real images, which normalises all images, on the scale of bytes."""
    std: tuple[float, ...]
    """(3,) deviations of the channels."""
    rounds: int | None
    """Rounds that the training is cut into, with a test after each; None: as many as the parameters say."""
    class_names: tuple[str, ...]
    image_size: int
    """Pixels a side."""
    counts: Int64
    """Images of each client and class, of all sources together, (clients, classes)."""
    start: str | None = None
    """The fill whose run of the same seed, in its last weights, the training starts from; None: from random ones."""

    @property
    def clients(self) -> int:
        """How many there are."""
        return len(self.own)

    def sizes(self) -> Int64:
        """Return how many images each client holds, (clients,)."""
        return sizes(self.rows)

    def save(self, path: Path) -> None:
        header = {
            "version": _VERSION,
            "fill": self.fill,
            "sources": {name: asdict(source) for name, source in self.sources.items()},
            "mean": self.mean,
            "std": self.std,
            "rounds": self.rounds,
            "class_names": list(self.class_names),
            "image_size": self.image_size,
            "start": self.start,
        }
        columns = {"client": pa.array(np.arange(self.clients), pa.int32())}
        for name, held in self.rows.items():
            ends = np.cumsum([0, *map(len, held)])
            values = np.concatenate(held) if ends[-1] else np.empty(0, np.int64)
            columns[name] = pa.LargeListArray.from_arrays(ends, values)
        columns |= {f"{_SAMPLES}{budget}": pa.array(drawn, pa.int64()) for budget, drawn in self.samples.items()}
        columns[_OWN] = pa.array(self.own, pa.int64())
        ends = np.arange(self.clients + 1) * len(self.class_names)
        columns[_COUNTS] = pa.LargeListArray.from_arrays(ends, np.ascontiguousarray(self.counts).ravel())
        table = pa.table(columns)
        with atomic.replacing(path) as temporary:
            pq.write_table(table.cast(parquet.with_header(table.schema, header)), temporary, compression="zstd")


def sizes(rows: Mapping[str, tuple[Int64, ...]]) -> Int64:
    """Return how many rows each client has of all sources together, (clients,)."""
    counts: Int64 = np.array([list(map(len, of_all)) for of_all in rows.values()], np.int64).sum(axis=0)
    return counts


def load(path: Path) -> Holdings:
    """Read holdings.

    Raises ArtifactError if the file is missing, damaged or of another version, or names rows that a source has not.
    """
    header = parquet.read_header(path, "fill", _Header)
    try:
        table = pq.read_table(path)
        sources = dict(header.sources)
        rows = {name: _lists(table[name]) for name in sources}
        held = Holdings(
            fill=header.fill,
            sources=sources,
            rows=rows,
            samples={
                name.removeprefix(_SAMPLES): table[name].to_numpy()
                for name in table.column_names
                if name.startswith(_SAMPLES)
            },
            own=table[_OWN].to_numpy(),
            mean=header.mean,
            std=header.std,
            rounds=header.rounds,
            class_names=tuple(header.class_names),
            image_size=header.image_size,
            counts=np.array(_lists(table[_COUNTS]), np.int64).reshape(-1, len(header.class_names)),
            start=header.start,
        )
        _check(held, table["client"].to_pylist())
    except (pa.ArrowException, OSError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise ArtifactError(f"damaged ({error})", path, _REDO) from None
    for name, source in sources.items():
        of_all = np.concatenate(rows[name])
        if len(of_all) and not 0 <= of_all.min() <= of_all.max() < source.images:
            raise ArtifactError(f"a row beyond the {source.images} images of source {name!r}", path, _REDO)
    return held


def _check(held: Holdings, clients: list[int]) -> None:
    """Raise ValueError if holdings contradict themselves; ``clients`` is the column of that name."""
    if not all(0 <= mean <= 255 for mean in held.mean) or not all(std > 0 for std in held.std):
        raise ValueError(f"mean {held.mean}, deviation {held.std}")
    if not held.samples or clients != list(range(held.clients)):
        raise ValueError("clients missing or out of order")
    if any(((drawn < 0) | ((drawn > 0) & (held.sizes() == 0))).any() for drawn in held.samples.values()):
        raise ValueError("samples of clients that hold no image")
    if (held.counts < 0).any() or held.counts.sum(axis=1).tolist() != held.sizes().tolist():
        raise ValueError("images by class are not those that clients hold")


def _lists(column: pa.ChunkedArray) -> tuple[Int64, ...]:
    """Return the lists of a column as arrays."""
    array = column.combine_chunks()
    values, ends = array.values.to_numpy().copy(), array.offsets.to_numpy()  # torch warns of arrays it cannot write to
    return tuple(values[start:stop] for start, stop in pairwise(ends))
