"""The same real images dealt out at random, as many to each client as before: what is reached without label skew."""

import hashlib

import numpy as np
from numpy.typing import NDArray

from pipeline import seeds
from pipeline.artifacts.holdings import Holdings
from pipeline.artifacts.partition import Partition
from pipeline.fills.common.given import REAL, Given

_NAME = "iid"


def make(given: Given) -> Holdings:
    """Return as many real images for each client as the partition gives it, whichever these are."""
    split, rows = given.partition, dealt(given.partition)
    labels = np.zeros(split.source.images, np.int64)
    labels[split.rows] = split.labels
    counts = np.array([np.bincount(labels[own], minlength=len(split.class_names)) for own in rows])
    return given.holdings(_NAME, {REAL: given.source(REAL)}, {REAL: rows}, counts)


def dealt(split: Partition) -> tuple[NDArray[np.int64], ...]:
    """Return the rows of each client, in order of row.

    The partition decides the draw: another partition gives another draw, and a root seed that changes only the
    synthetic images gives the same one.
    """
    held = hashlib.sha256(split.rows.tobytes() + split.clients.tobytes()).hexdigest()
    shuffled = seeds.generator(0, "fills", _NAME, held).permutation(split.rows)
    ends = np.cumsum(np.bincount(split.clients, minlength=split.client_count))
    return tuple(np.sort(own) for own in np.split(shuffled, ends[:-1]))
