"""Data sets of the Hugging Face Hub, downloaded and kept by ``datasets``."""

from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline.data import digests, payloads
from pipeline.data.columns import described
from pipeline.data.tables import ArrowRows
from pipeline.errors import DataError
from pipeline.params import DataParams


class HubRows(ArrowRows):
    """The rows of a split of the Hub, mapped into memory from the cache of ``datasets``."""

    def __init__(self, dataset: Any, split: str) -> None:
        self.dataset, self.split = dataset, split  # a datasets.Dataset, which has no type stubs
        self.skipped, self.remarks = (), ()
        self.folder, self.files = Path(), ()
        self.columns = described(dataset.features.arrow_schema, split)

    @cached_property
    def _table(self) -> pa.Table:
        return self.dataset.data.table

    def name(self, row: int) -> str:
        return f"split {self.split} row {row}"

    def digests(self, column: str) -> list[str]:
        files = [Path(file["filename"]) for file in self.dataset.cache_files]
        # A part of a split ("train[:1000]") has the files of the whole.
        held = digests.of(files[0].parent, files) if files else [str(self.dataset._fingerprint)]
        named = payloads.digests_of(payloads.paths(self._table.column(column)), self._folders)
        return [*held, self.split, str(len(self)), *named]

    @property
    def _folders(self) -> tuple[Path, ...]:
        import datasets
        from huggingface_hub import constants

        caches = (constants.HF_HUB_CACHE, datasets.config.HF_DATASETS_CACHE, datasets.config.DOWNLOADED_DATASETS_PATH)
        return (Path(caches[0]), *(Path(place) for place in caches))


def find(params: DataParams, split: str) -> HubRows:
    """Download a split or find it in the cache; raise DataError if neither can be done."""
    import datasets

    datasets.disable_progress_bars()
    try:
        made = datasets.load_dataset(params.path, params.config, split=split, revision=params.revision)
    except Exception as error:  # datasets raises many types; each means the same to the user
        fix = "check data.path, data.config, data.revision and the split names in params.yaml"
        raise DataError(f"cannot load the data set ({error})", f"{params.path}, split {split!r}", fix) from error
    if made._indices is not None:
        made = made.flatten_indices()
    return HubRows(made, split)
