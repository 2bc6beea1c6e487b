"""Real labelled images: a Hub id, a folder of Parquet files, of class folders, or one that ``save_to_disk`` wrote."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor

from pipeline.artifacts import pairs
from pipeline.data import columns, domains, holdout, labels, pictures, resize, splits
from pipeline.data.domains import Domains
from pipeline.data.pictures import Picture
from pipeline.data.source import Skipped, Source
from pipeline.errors import DataError
from pipeline.params import DataParams

_VERSION = 1
"""Of how a picture becomes pixels; another one decodes again."""


@dataclass(frozen=True)
class Images:
    """The images of one split, or of the part of it that is trained on or held out; decoded on demand."""

    source: Source
    image_column: str
    label_column: str
    split_rows: NDArray[np.int64]
    """(N,) the row of each image in the split as it is stored."""
    split_labels: NDArray[np.int64]
    """The label of each row of the split as it is stored."""
    class_names: tuple[str, ...]
    label_texts: tuple[str, ...]
    """What the data set has for each class, in the order of ``class_names``."""
    image_size: int
    """Pixels a side that ``pixels`` returns."""
    background: str
    on_bad: str
    remarks: tuple[str, ...] = ()
    """What a user should know of how the split was read."""
    domains: Domains | None = None
    """Of each row of the split as it is stored; None without ``data.group_column``."""

    def __len__(self) -> int:
        return len(self.split_rows)

    @cached_property
    def labels(self) -> NDArray[np.int64]:
        """(N,) the label of each image."""
        return self.split_labels[self.split_rows]

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        """The files of the split that are not read."""
        return tuple(self.source.skipped)

    @cached_property
    def pictures_digest(self) -> str:
        """Identifies the pixels of the whole split, in its order: pictures, size and background, and no place."""
        rgb = ImageColor.getrgb(self.background)[:3]
        key = [_VERSION, self.image_column, self.image_size, rgb, *self.source.digests(self.image_column)]
        return hashlib.sha256(json.dumps(key).encode()).hexdigest()[:24]

    @cached_property
    def fingerprint(self) -> str:
        """Changes whenever pixels, rows, labels, names or their order may have changed, and with no place or time."""
        key = [self.pictures_digest, self.class_names, self.label_texts, self.on_bad]
        held = self.split_labels.tobytes() + self.split_rows.tobytes()
        if self.domains is not None:
            held += json.dumps(self.domains.names).encode() + self.domains.numbers.tobytes()
        return hashlib.sha256(json.dumps(key).encode() + held).hexdigest()[:16]

    def whole(self) -> "Images":
        """Return all images of the split as it is stored, also those that are held out of this part."""
        return replace(self, split_rows=np.arange(len(self.split_labels)))

    def name(self, row: int) -> str:
        """Return how a user finds an image: its file, or its table and the row in it."""
        return self.source.name(int(self.split_rows[row]))

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns beside the picture."""
        return tuple(name for name in self.source.columns if name != self.image_column)

    def column(self, name: str) -> NDArray[np.object_]:
        """Return what a column holds for each image, (N,): None where nothing, and names for a class label's numbers.

        Raises DataError if there is no such column.
        """
        if name not in self.columns:
            fix = f"the columns are {', '.join(self.columns)}"
            raise DataError(f"no column {name!r}", "the data set", fix)
        names = self.source.columns[name].names
        held = self.source.values(name).to_pylist()
        values = [names[v] if names and isinstance(v, int) and 0 <= v < len(names) else v for v in held]
        out = np.empty(len(values), object)
        out[:] = values
        return out[self.split_rows]

    def read(self, row: int) -> Picture:
        """Decode one image in its own size; raise DataError, with a short reason, if that cannot be done."""
        try:
            content = self.source.content(self.image_column, int(self.split_rows[row]))
            if isinstance(content, bytes):
                return pictures.decode(content, self.background)
            return pictures.from_array(content, self.background)
        except DataError as error:
            raise DataError(error.what, self.name(row), error.fix) from None

    def picture(self, row: int) -> Image.Image:
        """Return one image as RGB, cut to the middle square and scaled with anti-aliasing if it must be.

        Raises DataError for a picture that cannot be decoded.
        """
        try:
            return resize.fit(self.read(row).image, self.image_size)
        except DataError as error:
            raise DataError(f"a picture cannot be decoded ({error.what})", error.where, error.fix) from None

    def pixels(self, rows: Sequence[int] | NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return images as (len(rows), size, size, 3) bytes."""
        out = np.empty((len(rows), self.image_size, self.image_size, 3), np.uint8)
        for i, row in enumerate(rows):
            out[i] = np.asarray(self.picture(int(row)))
        return out


def load(params: DataParams, split: str | None, root: Path = Path()) -> Images:
    """Read one split; a local one starts at ``root``.

    ``split`` is ``params.train``, without what is held out, or ``params.test``, which is None where the images for
    testing are those held out. Classes, columns and the size are those of the training split, whatever split is read:
    another may lack a class or number them differently. Raises DataError if it cannot be found or has no usable image
    or label column.
    """
    train = _whole(params, params.train, root, None)
    if split is not None and split != params.train:
        return _whole(params, split, root, train)
    if params.holdout is None:
        return train
    held = holdout.draw(*_strata(train), params.holdout, params.holdout_seed)
    return replace(train, split_rows=np.flatnonzero(held if split is None else ~held))


def _strata(train: Images) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Return the class of each image, -1 for none, and their names; with domains the class and domain of each."""
    if train.domains is None:
        return train.labels, train.label_texts
    labelled = np.where(train.labels < 0, 0, train.labels)
    strata = pairs.of(labelled, train.domains.numbers, len(train.label_texts))
    return np.where(train.labels < 0, -1, strata), pairs.names(train.label_texts, train.domains.names)


def _whole(params: DataParams, split: str, root: Path, train: Images | None) -> Images:
    """Return a split as it is stored, described as the training split is (None: it is the training split)."""
    source = splits.find(params, split, root)
    where = f"split {split!r}"
    image = columns.choose_image(source.columns, train.image_column if train else params.image_column, where)
    label = columns.choose_label(source.columns, train.label_column if train else params.label_column, where)
    found = labels.read(source.values(label), source.columns[label], f"column {label!r}, {where}")
    if train:
        classes = labels.Numbering(train.label_texts, train.class_names)
    else:
        classes = labels.numbering(found, params.class_names)
    made = Images(
        source=source,
        image_column=image,
        label_column=label,
        split_rows=np.arange(len(source)),
        split_labels=classes.apply(found, where),
        class_names=classes.names,
        label_texts=classes.texts,
        image_size=train.image_size if train else params.image_size or 1,
        background=params.background,
        on_bad=params.on_bad,
        remarks=(*source.remarks, *classes.remarks),
    )
    if params.group_column is not None:
        made = replace(made, domains=_domains(made, params.group_column, train))
    return made if train or params.image_size else replace(made, image_size=_size(made))


def _domains(made: Images, column: str, train: Images | None) -> Domains:
    """Return the domains of a split; those of the training split have the same numbers in every split."""
    found = domains.read(made.column(column), column)
    return found if train is None or train.domains is None else found.after(train.domains.names)


def _size(images: Images) -> int:
    """Return the shorter side of the first picture that can be decoded; raise DataError if none can."""
    first: DataError | None = None
    for row in range(len(images)):
        try:
            return min(images.read(row).size)
        except DataError as error:
            first = first or error
    assert first is not None
    raise DataError(f"no picture can be decoded ({first.what})", first.where, first.fix)
