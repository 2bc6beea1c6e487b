"""The images that an evaluation sets side by side: synthetic ones, and disjoint parts of the real ones."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline import seeds
from pipeline.artifacts.partition import Partition
from pipeline.data.arrays import Stored
from pipeline.data.decoded import Decoded
from pipeline.data.real_parts import RealParts, real_parts

Int64 = NDArray[np.int64]
_MOST_VALIDATION = 10_000
_AT_ONCE = 256


@dataclass(frozen=True)
class Side:
    """Images of one kind, class by class, in an order drawn at random once: the first n of a class are n of it."""

    images: Stored
    by_class: tuple[Int64, ...]
    """For each label its rows of ``images``."""

    @classmethod
    def of(cls, images: Stored, rows: Int64, classes: int, most: int | None = None) -> "Side":
        """Return rows (N,) of an array as a side, with at most ``most`` of each class."""
        labels = images.labels[rows]
        mixed = (seeds.generator(0, "evaluate", label).permutation(rows[labels == label]) for label in range(classes))
        return cls(images, tuple(own[:most] for own in mixed))

    @property
    def counts(self) -> Int64:
        """(classes,) images of each class."""
        return np.array([len(own) for own in self.by_class], np.int64)

    def take(self, counts: Int64) -> Int64:
        """Return the rows of the first images of each class, as many as ``counts`` (classes,) says, by class."""
        return np.concatenate([own[:count] for own, count in zip(self.by_class, counts.tolist(), strict=True)])

    @property
    def rows(self) -> Int64:
        """All rows, class by class."""
        return self.take(self.counts)

    @property
    def labels(self) -> Int64:
        """The labels of ``rows``."""
        return np.repeat(np.arange(len(self.by_class)), self.counts)

    def pixels(self) -> NDArray[np.uint8]:
        """Return the images (N, H, W, 3) of ``rows``, copied into memory."""
        return self.images.pixels[self.rows]

    def chunks(self) -> Iterator[NDArray[np.uint8]]:
        """Yield the pixels of ``rows``, some hundred images at a time."""
        pixels, rows = self.images.pixels, self.rows
        for start in range(0, len(rows), _AT_ONCE):
            yield pixels[rows[start : start + _AT_ONCE]]


@dataclass(frozen=True)
class Reference:
    """What synthetic images are measured by: real training images, and how images are normalised."""

    data: Decoded
    split: Partition
    parts: RealParts
    reference: Side
    """What they are compared with."""
    validation: Side
    """What judge and classifier are tested on."""
    training: Side
    """The clients' images, among which copies are looked for."""

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.split.class_names


def reference(data: Decoded, split: Partition, per_class: int | None, against: int) -> Reference:
    """Return the real sides: ``per_class`` images to compare with, at most ``against`` training images in all."""
    parts, classes = real_parts(data, split), len(split.class_names)
    # Held-out images have to be no training images, or they would be found as copies of themselves.
    trained = np.setdiff1d(split.rows, parts.validation)
    return Reference(
        data=data,
        split=split,
        parts=parts,
        reference=Side.of(data.train, parts.reference, classes, per_class),
        validation=_limited(data.train, parts.validation, classes, _MOST_VALIDATION),
        training=_limited(data.train, trained, classes, against),
    )


def level(counts: Int64, most: int) -> int:
    """Return the number of images of a class to take at most, so that all classes together have at least ``most``.

    It is the smallest such number; what classes with few images lack is taken from the others. If all ``counts``
    (classes,) together are fewer, it is the largest of them.
    """
    ordered, left = np.sort(counts).tolist(), most
    for place, count in enumerate(ordered):
        each = -(-left // (len(ordered) - place))
        if each <= count:
            return each
        left -= count
    return max(ordered, default=0)


def _limited(images: Stored, rows: Int64, classes: int, most: int) -> Side:
    return Side.of(images, rows, classes, level(np.bincount(images.labels[rows], minlength=classes), most))


def shared(least: int, *sides: Side) -> Int64:
    """Return how many images of each class all sides have, (classes,); 0 where that is fewer than ``least``."""
    counts = np.min([side.counts for side in sides], axis=0)
    return np.where(counts >= least, counts, 0)
