"""Features by the image's identity, one Parquet file for each extractor: an image is embedded once.

A file has the columns ``identity`` (the 32 bytes of ``pixels.identities``) and ``features`` (float32). It is replaced
as a whole, under a lock, whenever images were embedded. Losing it costs time, never correctness.
"""

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline import atomic, progress
from pipeline.artifacts import parquet
from pipeline.errors import ArtifactError
from pipeline.evaluation.extractors import Extractor, Features, Pixels
from pipeline.evaluation.pixels import Identities, identities

_AT_A_TIME = 256
"""Images between two steps of the progress bar."""
_ROWS = 4096
"""Images in a row group: only groups with images that are asked for are read."""
_SECONDS = 60.0
"""A killed process loses at most so much work."""
_DAMAGED = (pa.ArrowException, OSError, ValueError, KeyError)
_VALUES = "features.list.element"
"""What Parquet calls the numbers in the column ``features``."""


class Store:
    """The embeddings of one extractor in a folder."""

    def __init__(self, folder: Path, extractor: Extractor) -> None:
        self._extractor = extractor
        self.path = folder / f"{extractor.digest}.parquet"
        """Named by the digest, so that another version of an extractor has another file."""

    def features(self, images: Pixels, known: Identities | None = None) -> Features:
        """Return the features (N, D) of images (N, H, W, 3); those that the file lacks are computed and added.

        ``known`` are the images' identities (N,), if the caller has them. Raises ArtifactError if the file cannot be
        written.
        """
        names = identities(images) if known is None else known
        wanted, first, places = np.unique(names, return_index=True, return_inverse=True)
        found, lacking = self._read(wanted)
        while lacking.any():
            with self._writing():
                found, lacking = self._read(wanted)  # another process may have added some meanwhile
                new = np.flatnonzero(lacking)
                rows = self._embedded(images, first[new])
                if len(rows):
                    new = new[: len(rows)]
                    self._append(wanted[new], rows)
                    found[new], lacking[new] = rows, False
        return found[places]

    def _embedded(self, images: Pixels, wanted: NDArray[np.intp]) -> Features:
        """Return the features of the first of some images: all of them, or as many as a minute is enough for."""
        rows, start = [np.empty((0, self._extractor.dimension), np.float32)], time.monotonic()
        with progress.bar(f"features of {self._extractor.name}", len(wanted), "images") as advance:
            for done in range(0, len(wanted), _AT_A_TIME):
                some = wanted[done : done + _AT_A_TIME]
                rows.append(self._extractor.features(images[some]))
                advance(len(some))
                if time.monotonic() - start > _SECONDS:
                    break
        return np.concatenate(rows)

    def _read(self, wanted: Identities) -> tuple[Features, NDArray[np.bool_]]:
        """Return the features (N, D) of identities (N,), which ascend, and which the file lacks (N,)."""
        found = np.empty((len(wanted), self._extractor.dimension), np.float32)
        lacking = np.ones(len(wanted), bool)
        try:
            with self._file() as file:
                for group in range(file.num_row_groups):
                    names = _hexadecimal(file.read_row_group(group, ["identity"]))
                    asked = np.flatnonzero(np.isin(names, wanted))
                    if len(asked):
                        values = file.read_row_group(group, ["features"]).column("features").combine_chunks()
                        at = np.searchsorted(wanted, names[asked])
                        found[at] = values.flatten().to_numpy().reshape(len(names), -1)[asked]
                        lacking[at] = False
            with suppress(OSError):  # a shared cache may be read-only; only its order of use is lost
                os.utime(self.path)
        except FileNotFoundError:
            pass
        except _DAMAGED:
            self._drop()
            lacking[:] = True
        return found, lacking

    def _append(self, names: Identities, rows: Features) -> None:
        """Write the file again with more rows at its end."""
        schema = self._schema()
        identity = pa.array([bytes.fromhex(name.decode()) for name in names], pa.binary(32))
        features = pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), rows.shape[1])
        table = pa.Table.from_arrays([identity, features], schema=schema)
        options = {"compression": "zstd", "use_dictionary": False, "use_byte_stream_split": [_VALUES]}
        with (
            atomic.replacing(self.path) as temporary,
            pq.ParquetWriter(temporary, schema, write_page_checksum=True, **options) as writer,
        ):
            for batch in self._batches():
                writer.write_batch(batch)
            writer.write_table(table, row_group_size=_ROWS)

    def _batches(self) -> Iterator[pa.RecordBatch]:
        """Yield what the file holds, up to where it is damaged."""
        try:
            with self._file() as file:
                yield from file.iter_batches(_ROWS)
        except FileNotFoundError:
            pass
        except _DAMAGED:
            self._drop()

    def _schema(self) -> pa.Schema:
        columns = [("identity", pa.binary(32)), ("features", pa.list_(pa.float32(), self._extractor.dimension))]
        header = {"extractor": self._extractor.name, "digest": self._extractor.digest}
        return parquet.with_header(pa.schema(columns), header)

    def _file(self) -> pq.ParquetFile:
        """Return the file, opened; raise FileNotFoundError, or one of ``_DAMAGED``, as reading it may."""
        file = pq.ParquetFile(self.path, page_checksum_verification=True)
        if not file.schema_arrow.equals(self._schema()):
            raise ValueError("other columns")
        return file

    def _drop(self) -> None:
        """Delete a file that cannot be read, and say so; raise ArtifactError if it cannot be deleted."""
        progress.say(f"{self.path} is damaged; its images are embedded again")
        try:
            self.path.unlink(missing_ok=True)
        except OSError as error:
            raise ArtifactError(f"damaged, and cannot be deleted ({error.strerror})", self.path, "delete it") from None

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Hold the lock of the file while the block runs; wait, and say so, while another process holds it."""
        place, said = self.path.with_suffix(".lock"), f"waiting for another process that adds to {self.path}"
        with ExitStack() as held:
            try:
                place.parent.mkdir(parents=True, exist_ok=True)
                held.enter_context(atomic.locked(place, lambda: progress.say(said)))
            except OSError as error:
                raise ArtifactError(f"cannot lock ({error.strerror})", place, "check the rights") from None
            yield


def _hexadecimal(table: pa.Table) -> Identities:
    """Return the column ``identity`` as ``pixels.identities`` writes it."""
    return np.array([name.hex() for name in table.column("identity").to_pylist()], "S64")
