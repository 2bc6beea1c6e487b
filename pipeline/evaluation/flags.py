"""Images that are conspicuous in themselves: of one colour, black, faint, drawn again."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.artifacts import shard_reader
from pipeline.artifacts.manifest import Manifest, fix_of
from pipeline.evaluation.sides import Int64, Side

_FLAT, _DARK = 4, 16
"""Levels, 0 to 255: a picture of one colour spans no more in any channel; a black one has none that is higher."""
_FAINT = "faint"


@dataclass(frozen=True)
class Remarks:
    """What was noted when images were rendered, (classes,) each."""

    images: Int64
    faint: Int64
    redrawn: Int64

    @classmethod
    def of(cls, labels: Int64, flags: Sequence[str], retries: Sequence[int], classes: int) -> "Remarks":
        """Count the remarks on images (N,) of these labels."""
        faint = np.array([_FAINT in said for said in flags], bool)
        redrawn = np.array(retries, np.int64) > 0
        chosen = (labels, labels[faint], labels[redrawn])
        return cls(*(np.bincount(some, minlength=classes) for some in chosen))

    def __add__(self, other: "Remarks") -> "Remarks":
        return Remarks(self.images + other.images, self.faint + other.faint, self.redrawn + other.redrawn)


def remarks(manifest: Manifest) -> Remarks:
    """Count what the shards say of all their images; raise ArtifactError for what is no shard."""
    classes = len(manifest.class_names)
    found = Remarks.of(np.empty(0, np.int64), (), (), classes)
    for shard in manifest.shards:
        for path in manifest.paths(shard):
            for columns in shard_reader.read(path, manifest.class_names, manifest.encoding, fix_of(shard)):
                labels = np.array(columns["label"], np.int64)
                found += Remarks.of(labels, columns["flags"], columns["retry"], classes)
    return found


def constant(side: Side) -> tuple[Int64, Int64]:
    """Return how many images of each class show one colour, and how many of these are black, (classes,) each."""
    flat, dark = [np.empty(0, bool)], [np.empty(0, bool)]
    for chunk in side.chunks():
        highest, lowest = chunk.max((1, 2)), chunk.min((1, 2))
        flat.append((highest - lowest).max(1) <= _FLAT)
        dark.append(highest.max(1) <= _DARK)
    found, black, classes = np.concatenate(flat), np.concatenate(dark), len(side.by_class)
    labels = side.labels
    return (
        np.bincount(labels[found], minlength=classes),
        np.bincount(labels[found & black], minlength=classes),
    )
