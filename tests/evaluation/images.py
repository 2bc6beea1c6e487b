"""Images of three classes that the mean colour tells apart, as arrays and as a reference."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.artifacts.partition import Partition, Source
from pipeline.data import arrays, decoded
from pipeline.data.arrays import Stored
from pipeline.data.decoded import Decoded
from pipeline.evaluation import sides
from pipeline.evaluation.sides import Reference
from pipeline.params import DataParams
from pipeline.workspace import Workspace


def coloured(labels: NDArray[np.int64], seed: int, shown: NDArray[np.int64] | None = None) -> NDArray[np.uint8]:
    """Return noisy images (N, 16, 16, 3) whose brightest channel is that of ``shown``, else of their label."""
    images = np.random.default_rng(seed).integers(0, 120, (len(labels), 16, 16, 3)).astype(np.uint8)
    images[np.arange(len(labels)), :, :, labels if shown is None else shown] += 130
    return images


def stored(folder: Path, labels: NDArray[np.int64], pixels: NDArray[np.uint8]) -> Stored:
    name = arrays.name_of("test", [pixels.tobytes().hex()[:2000], len(labels), labels.tolist()])
    return arrays.store(folder, name, labels, pixels.shape[1], lambda: [pixels])


def reference(workspace: Workspace, data: Path, held: list[int], per_class: int | None = None) -> Reference:
    """Return the real sides where one client holds some rows of the training split."""
    found = decoded.open_data(workspace, DataParams(path=str(data)))
    return sides.reference(found, partition(found, held), per_class, against=2000)


def partition(data: Decoded, held: list[int]) -> Partition:
    """Return the partition where one client holds these rows of the training split."""
    rows = np.array(held, np.int64)
    return Partition(
        rows=rows,
        clients=np.zeros(len(rows), np.int32),
        labels=data.train.labels[rows].astype(np.int32),
        class_names=data.class_names,
        client_count=1,
        image_size=data.image_size,
        fingerprint=data.fingerprint,
        source=Source(data.train.path.stem, len(data.train)),
        mean=(100.0,) * 3,
        std=(60.0,) * 3,
    )
