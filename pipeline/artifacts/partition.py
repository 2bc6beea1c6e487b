"""The partition: which client holds which real training image."""

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline import atomic
from pipeline.artifacts import parquet
from pipeline.errors import ArtifactError, DataError

_COLUMNS = {"row": pa.int64(), "client": pa.int32(), "label": pa.int32()}


@dataclass(frozen=True)
class Source:
    """An array of decoded images that clients hold rows of."""

    array: str
    """Its name: the digest of what it is made from."""
    images: int


class _Header(parquet.Header):
    """What a partition's file says beside its columns."""

    class_names: list[str]
    clients: int
    image_size: int
    fingerprint: str
    source: Source
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    client_names: list[str] | None


@dataclass(frozen=True)
class Partition:
    """Rows of the training images by client, in order of client and then of row; no row has two clients.

    What is derived from the training images is derived once and kept here.
    """

    rows: NDArray[np.int64]
    """(N,) rows of the array of all training pictures that can be used, in the data set's order."""
    clients: NDArray[np.int32]
    """(N,) the client that holds each row."""
    labels: NDArray[np.int32]
    """(N,) the label of each row."""
    class_names: tuple[str, ...]
    client_count: int
    image_size: int
    """Pixels a side of the real images."""
    fingerprint: str
    """Identifies the content of the training split that was partitioned."""
    source: Source
    """That array; it has rows that no client holds, too."""
    mean: tuple[float, ...]
    """(3,) of the channels of the clients' images, on the scale of bytes."""
    std: tuple[float, ...]
    """(3,) deviations of the channels, at least 1."""
    client_names: tuple[str, ...] | None = None
    """What the data set or a file calls each client; None where clients are numbers only."""

    def counts(self) -> NDArray[np.int64]:
        """Return how many images of each label each client holds, (clients, classes)."""
        classes = len(self.class_names)
        cells = self.clients.astype(np.int64) * classes + self.labels
        return np.bincount(cells, minlength=self.client_count * classes).reshape(self.client_count, classes)

    def by_client(self) -> tuple[NDArray[np.int64], ...]:
        """Return the rows that each client holds, in order of client."""
        ends = np.cumsum(np.bincount(self.clients, minlength=self.client_count))
        return tuple(np.split(self.rows, ends[:-1]))

    def digest(self) -> str:
        """Return 12 hexadecimal digits that stand for who holds which image; another split has other ones."""
        known = hashlib.sha256(f"{self.fingerprint} {self.client_count}".encode())
        for column in (self.rows, self.clients):
            known.update(np.ascontiguousarray(column, "<i8").tobytes())
        return known.hexdigest()[:12]

    def check_source(self, fingerprint: str, where: str) -> None:
        """Raise DataError if the training split is no longer the one that was partitioned."""
        if fingerprint != self.fingerprint:
            fix = "restore the data, or run: dvc repro -f partition"
            raise DataError("the training images changed since they were partitioned", where, fix)

    def save(self, path: Path) -> None:
        header: dict[str, object] = {
            "class_names": list(self.class_names),
            "clients": self.client_count,
            "image_size": self.image_size,
            "fingerprint": self.fingerprint,
            "source": asdict(self.source),
            "mean": self.mean,
            "std": self.std,
            "client_names": self.client_names,
        }
        table = pa.table({"row": self.rows, "client": self.clients, "label": self.labels})
        with atomic.replacing(path) as temporary:
            pq.write_table(table.cast(parquet.with_header(table.schema, header)), temporary, compression="zstd")


def load(path: Path) -> Partition:
    """Read a partition; raise ArtifactError if it is missing or damaged."""
    header = parquet.read_header(path, "partition", _Header)
    try:
        table = pq.read_table(path, columns=list(_COLUMNS))
        if table.schema.types != list(_COLUMNS.values()) or any(column.null_count for column in table.columns):
            raise ValueError("other columns")
        return Partition(
            rows=table["row"].to_numpy(),
            clients=table["client"].to_numpy(),
            labels=table["label"].to_numpy(),
            class_names=tuple(header.class_names),
            client_count=header.clients,
            image_size=header.image_size,
            fingerprint=header.fingerprint,
            source=header.source,
            mean=header.mean,
            std=header.std,
            client_names=tuple(header.client_names) if header.client_names is not None else None,
        )
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
        raise ArtifactError(f"damaged ({error})", path, "run: dvc repro -f partition") from None
