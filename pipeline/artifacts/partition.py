"""The partition: which client holds which real training image."""

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline import atomic
from pipeline.artifacts import parquet
from pipeline.errors import ArtifactError, DataError


@dataclass(frozen=True)
class Source:
    """An array of decoded images that clients hold rows of."""

    array: str
    """Its name: the digest of what it is made from."""
    images: int


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
    header = parquet.read_header(path, "partition")
    try:
        table = pq.read_table(path)
        return Partition(
            rows=table["row"].to_numpy(),
            clients=table["client"].to_numpy(),
            labels=table["label"].to_numpy(),
            class_names=tuple(header["class_names"]),
            client_count=header["clients"],
            image_size=header["image_size"],
            fingerprint=header["fingerprint"],
            source=Source(**header["source"]),
            mean=tuple(header["mean"]),
            std=tuple(header["std"]),
            client_names=tuple(names) if (names := header.get("client_names")) else None,
        )
    except (pa.ArrowInvalid, OSError, KeyError, TypeError) as error:
        raise ArtifactError(f"damaged ({error})", path, "run: dvc repro -f partition") from None
