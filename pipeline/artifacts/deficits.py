"""The deficits: how many images of each label every client has, should have, and is to be given."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
from numpy.typing import NDArray

from pipeline import atomic, paths
from pipeline.errors import ArtifactError

_COLUMNS = ("client", "label", "class name", "have", "want", "missing")


@dataclass(frozen=True)
class Deficits:
    """Three counts for each client and label, (clients, classes) each."""

    have: NDArray[np.int64]
    """Real images."""
    want: NDArray[np.int64]
    """What the rule asks for, before ratio and caps."""
    missing: NDArray[np.int64]
    """Images to make: at most want - have, never negative."""
    class_names: tuple[str, ...]

    def save(self, path: Path = paths.DEFICITS) -> None:
        clients, classes = self.have.shape
        names = pa.DictionaryArray.from_arrays(np.tile(np.arange(classes), clients), list(self.class_names))
        client, label = np.repeat(np.arange(clients), classes), np.tile(np.arange(classes), clients)
        columns = [client, label, names.cast(pa.string()), self.have.ravel(), self.want.ravel(), self.missing.ravel()]
        with atomic.replacing(path) as temporary:
            options = pa.csv.WriteOptions(quoting_style="needed")
            pa.csv.write_csv(pa.table(columns, names=list(_COLUMNS)), temporary, options)


def load(path: Path = paths.DEFICITS) -> Deficits:
    """Read deficits; raise ArtifactError if the file is missing, or is not one row for each client and label."""
    if not path.is_file():
        raise ArtifactError("no such file", path, "run: dvc repro deficits")
    try:
        types = {name: pa.string() if name == "class name" else pa.int64() for name in _COLUMNS}
        table = pa.csv.read_csv(path, convert_options=pa.csv.ConvertOptions(column_types=types))
        columns = {name: table[name].to_numpy() for name in _COLUMNS if table[name].null_count == 0}
        columns = {name: columns[name] for name in _COLUMNS}  # a column with an empty cell is as good as none
    except (pa.ArrowInvalid, KeyError) as error:
        raise ArtifactError(f"not a deficits table ({error})", path, "run: dvc repro -f deficits") from None
    classes = int(columns["label"].max()) + 1 if len(columns["label"]) else 0
    if classes == 0 or len(columns["label"]) % classes:
        raise ArtifactError("not one row for each client and label", path, "run: dvc repro -f deficits")
    shape = (len(columns["label"]) // classes, classes)
    cells = np.arange(len(columns["label"]))
    if not (np.array_equal(columns["label"], cells % classes) and np.array_equal(columns["client"], cells // classes)):
        raise ArtifactError("rows missing or out of order", path, "run: dvc repro -f deficits")
    have, want, missing = (columns[name].astype(np.int64).reshape(shape) for name in ("have", "want", "missing"))
    if missing.min() < 0:
        raise ArtifactError("a negative count of missing images", path, "run: dvc repro -f deficits")
    return Deficits(have, want, missing, tuple(str(name) for name in columns["class name"][:classes]))
