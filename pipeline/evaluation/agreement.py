"""Label agreement: the share of images to which a judge gives the class that was asked for."""

from dataclasses import dataclass

import numpy as np

from pipeline.evaluation.sides import Int64, Side
from pipeline.judges import Judge


@dataclass(frozen=True)
class Agreement:
    """What the judge says of a side, by class."""

    right: Int64
    """(classes,) images that it gives their own class."""
    images: Int64
    """(classes,) images that it saw."""

    def of(self, labels: Int64) -> float | None:
        """Return the share of the images of some labels, None if there are none."""
        return share(int(self.right[labels].sum()), int(self.images[labels].sum()))


def measure(judge: Judge, side: Side) -> Agreement:
    """Ask the judge about all images of a side; the most probable of our classes is its answer."""
    labels, classes = side.labels, len(side.by_class)
    found = [judge.probabilities(chunk).argmax(axis=1) for chunk in side.chunks()]
    answers = np.concatenate([np.empty(0, np.int64), *found])
    return Agreement(np.bincount(labels[answers == labels], minlength=classes), side.counts)


def share(part: int, whole: int) -> float | None:
    """Return a share to four digits, None of nothing."""
    return round(part / whole, 4) if whole else None
