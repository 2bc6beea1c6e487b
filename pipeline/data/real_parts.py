"""Real training images for those who look at synthetic ones: a part to learn from, one to compare with, one to test on.

The test split is in none of them, so whatever is chosen by these images is not chosen by the test.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.artifacts.partition import Partition
from pipeline.data import unused
from pipeline.data.decoded import Decoded

Int64 = NDArray[np.int64]
LEAST = 20
"""Images of each class that no client holds, below which the clients' images are shared out too."""
_SHARES = {"unused": (0.5, 0.25, 0.25), "clients": (1 / 3, 1 / 3, 1 / 3)}
_MOST_TO_LEARN = 10_000
_SEED = 0
"""Fixed: another root seed must not train another judge."""


@dataclass(frozen=True)
class RealParts:
    """Disjoint rows of the training array, each ascending."""

    judge: Int64
    """What the judge learns from, at most 10,000."""
    reference: Int64
    """What synthetic images are compared with, and what the classifier is trained on beside them."""
    validation: Int64
    """What judge and classifier are tested on."""
    source: Literal["unused", "clients"]
    """``unused``: no client holds any of them; ``clients``: there were too few, so clients train on some of them."""

    @property
    def describe(self) -> str:
        """Whose the images are, in words."""
        if self.source == "unused":
            return "real training images that no client holds"
        return f"the clients' own images, since fewer than {LEAST} of some class are held by no client"


def real_parts(data: Decoded, split: Partition) -> RealParts:
    """Share out the images that no client holds, or all training images where those are too few of some class."""
    labels, classes = data.train.labels, len(data.class_names)
    free = unused.unused(data, split)
    there = np.bincount(data.train_labels, minlength=classes) > 0
    enough = np.bincount(labels[free], minlength=classes)[there].min(initial=LEAST) >= LEAST
    source: Literal["unused", "clients"] = "unused" if enough and len(free) else "clients"
    rows = free if source == "unused" else np.sort(data.train_rows)
    judge, reference, validation = unused.parts(rows, labels[rows], _SHARES[source], _SEED)
    if len(judge) > _MOST_TO_LEARN:
        (judge,) = unused.parts(judge, labels[judge], (_MOST_TO_LEARN / len(judge),), _SEED)
    return RealParts(judge, reference, validation, source)
