"""Real labelled images through ``datasets``: a Hub id, a folder of Parquet files, or a folder of class folders."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.atomic import sha256
from pipeline.data import resize
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
        """Return one row's picture as RGB, cut to the middle square and scaled with anti-aliasing if it must be.

        Raises DataError for a picture that cannot be decoded.
        """
        try:
            picture: Image.Image = self.table[int(row)][self.image_column].convert("RGB")
        except (OSError, SyntaxError, Image.DecompressionBombError) as error:
            where = f"row {row}, column {self.image_column!r}"
            raise DataError(f"a picture cannot be decoded ({error})", where, "repair or remove it") from None
        return resize.fit(picture, self.image_size)

    def pixels(self, rows: Sequence[int] | NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return rows as (len(rows), size, size, 3) bytes."""
        out = np.empty((len(rows), self.image_size, self.image_size, 3), np.uint8)
        for i, row in enumerate(rows):
            out[i] = np.asarray(self.picture(int(row)))
        return out


def load(params: DataParams, split: str, root: Path = Path()) -> Images:
    """Read one split; a local one starts at ``root``.

    Raises DataError if it cannot be found or has no usable image or label column.
    Labels count the classes of the training split, whatever split is read: another split may lack a class or number
    them differently.
    """
    from datasets import disable_progress_bars

    disable_progress_bars()
    table, content = _open(params, split, root)
    image_column = _column(table, params.image_column, "image_column", _is_image)
    codes, texts = _labels(table, params)
    known = texts if split == params.train else _labels(_open(params, params.train, root)[0], params)[1]
    number = {text: i for i, text in enumerate(known)}
    labels = np.array([number.get(text, -1) for text in texts], np.int64)[codes]
    if labels.min() < 0:
        stranger = texts[int(codes[labels.argmin()])]
        raise DataError(f"label {stranger!r} is not in the training split", f"split {split!r}", "remove those images")
    names = tuple(params.class_names or known)
    if len(names) != len(known) or len(set(names)) != len(names):
        fix = f"give {len(known)} different data.class_names, in the order of {', '.join(known[:20])}"
        raise DataError(f"{len(set(names))} class names for {len(known)} classes", "params.yaml, data.class_names", fix)
    described = json.dumps([content, image_column, names, params.image_size]).encode()
    return Images(
        table=table.select_columns([image_column]),
        image_column=image_column,
        labels=labels,
        class_names=names,
        image_size=params.image_size or min(table[0][image_column].size),
        fingerprint=hashlib.sha256(described + labels.tobytes()).hexdigest()[:16],
    )


def _open(params: DataParams, split: str, root: Path) -> tuple[Any, str]:
    """Return the split's table and a text that identifies its content."""
    import datasets

    folder = root / params.path
    try:
        if not folder.exists():
            table = datasets.load_dataset(params.path, split=split, revision=params.revision)
            return table, f"{params.path}@{params.revision}:{split}:{len(table)}"
        if files := sorted(folder.glob(f"{split}*.parquet")):
            table = datasets.load_dataset("parquet", data_files={split: [str(file) for file in files]}, split=split)
            return table, ",".join(sha256(file) for file in files)
        if pictures := _pictures(folder / split):
            names = {split: [str(picture) for picture in pictures]}
            table = datasets.load_dataset("imagefolder", data_files=names, drop_labels=False, split=split)
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


def _labels(table: Any, params: DataParams) -> tuple[NDArray[np.int64], list[str]]:
    """Return a number for each row, and the text of the label that each number stands for."""
    column = _column(table, params.label_column, "label_column", _is_label)
    feature = table.features[column]
    values = table.with_format("numpy", columns=[column])[:][column]
    unlabelled = len(values) == 0 or table.data.column(column).null_count > 0
    if unlabelled or (values.dtype.kind == "i" and values.min() < 0):  # -1 is the Hub's mark for "not known"
        raise DataError("rows without a label", f"column {column!r}", "label every row, or choose another split")
    if type(feature).__name__ == "ClassLabel":
        return values.astype(np.int64), list(feature.names)
    if values.dtype.kind in "iu" and params.class_names:
        return values.astype(np.int64), [str(i) for i in range(max(len(params.class_names), int(values.max()) + 1))]
    found, codes = np.unique(values, return_inverse=True)
    return codes.astype(np.int64), [str(text) for text in found.tolist()]
