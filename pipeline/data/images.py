"""Real labelled images through ``datasets``: a Hub id, a folder of Parquet files, or a folder of class folders."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from pipeline.atomic import sha256
from pipeline.errors import DataError
from pipeline.params import DataParams

_CLASS_FOLDER_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")


@dataclass(frozen=True)
class Images:
    """One split of a labelled image data set; pictures are decoded on demand."""

    table: Any  # datasets.Dataset, which has no type stubs
    image_column: str
    labels: NDArray[np.int64]
    """(N,) the label of each row."""
    class_names: tuple[str, ...]
    image_size: int
    """Pixels a side that ``pixels`` returns."""
    fingerprint: str
    """Changes whenever rows, labels or their order may have changed."""

    def picture(self, row: int) -> Image.Image:
        """Return one row's picture as RGB, cut to the middle square and scaled with anti-aliasing if it must be."""
        picture: Image.Image = self.table[int(row)][self.image_column].convert("RGB")
        size = (self.image_size, self.image_size)
        return picture if picture.size == size else ImageOps.fit(picture, size, Image.Resampling.BICUBIC)

    def pixels(self, rows: Sequence[int] | NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return rows as (len(rows), size, size, 3) bytes."""
        out = np.empty((len(rows), self.image_size, self.image_size, 3), np.uint8)
        for i, row in enumerate(rows):
            out[i] = np.asarray(self.picture(int(row)))
        return out


def load(params: DataParams, split: str) -> Images:
    """Read one split; raise DataError if it cannot be found or has no usable image or label column."""
    from datasets import disable_progress_bars

    disable_progress_bars()
    table, fingerprint = _open(params, split)
    image_column = _column(table, params.image_column, "image_column", _is_image)
    label_column = _column(table, params.label_column, "label_column", _is_label)
    labels, names = _labels(table, label_column, params)
    return Images(
        table=table.select_columns([image_column]),
        image_column=image_column,
        labels=labels,
        class_names=names,
        image_size=params.image_size or min(table[0][image_column].size),
        fingerprint=hashlib.sha256(fingerprint.encode()).hexdigest()[:16],
    )


def _open(params: DataParams, split: str) -> tuple[Any, str]:
    """Return the split's table and a text that identifies its content."""
    import datasets

    folder = Path(params.path)
    try:
        if not folder.exists():
            table = datasets.load_dataset(params.path, split=split, revision=params.revision)
            return table, f"{params.path}@{params.revision}:{split}:{len(table)}"
        if files := sorted(folder.glob(f"{split}*.parquet")):
            table = datasets.load_dataset("parquet", data_files={split: [str(file) for file in files]}, split=split)
            return table, ",".join(sha256(file) for file in files)
        if pictures := _pictures(folder / split):
            table = datasets.load_dataset("imagefolder", data_files={split: [str(p) for p in pictures]}, split=split)
            return table, ",".join(f"{p.relative_to(folder)}={sha256(p)}" for p in pictures)
    except Exception as error:  # datasets raises many types; each means the same to the user
        fix = "check data.path, data.revision and the split names in params.yaml"
        raise DataError(f"cannot load the data set ({error})", f"{params.path}, split {split!r}", fix) from error
    raise DataError(f"no split {split!r}", folder, f"expected {split}*.parquet, or {split}/CLASS NAME/*.png")


def _pictures(folder: Path) -> list[Path]:
    return sorted(p for p in folder.glob("*/*") if p.suffix.lower() in _CLASS_FOLDER_SUFFIXES)


def _is_image(_: str, feature: Any) -> bool:
    return type(feature).__name__ == "Image"


def _is_label(name: str, feature: Any) -> bool:
    return type(feature).__name__ == "ClassLabel" or name in ("label", "labels")


def _column(table: Any, named: str | None, key: str, fits: Any) -> str:
    """Return the named column, or the only one that fits."""
    columns = list(table.features)
    if named is not None:
        if named not in columns:
            raise DataError(f"no column {named!r}", f"params.yaml, data.{key}", f"columns are {', '.join(columns)}")
        return named
    found = [name for name, feature in table.features.items() if fits(name, feature)]
    if len(found) != 1:
        what = f"{len(found)} columns could be it ({', '.join(found)})" if found else "no column looks like it"
        raise DataError(what, f"params.yaml, data.{key}", f"name one of {', '.join(columns)}")
    return str(found[0])


def _labels(table: Any, column: str, params: DataParams) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Return labels from 0 and the class names; text labels are numbered in sorted order."""
    feature = table.features[column]
    values = table.with_format("numpy", columns=[column])[:][column]
    names: Sequence[str]
    if type(feature).__name__ == "ClassLabel":
        names = feature.names
    else:
        found, values = np.unique(values, return_inverse=True)
        names = [str(value) for value in found]
    names = params.class_names or names
    if len(values) == 0 or int(values.min()) < 0 or int(values.max()) >= len(names):
        fix = "label every row, and give as many data.class_names as there are classes"
        raise DataError("labels and class names do not match", f"column {column!r}, {len(names)} names", fix)
    if len(set(names)) != len(names):
        raise DataError("two classes have the same name", f"column {column!r}", "set data.class_names in params.yaml")
    return np.asarray(values, np.int64), tuple(names)
