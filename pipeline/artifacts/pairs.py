"""Counts by class, and in a data set with domains by class and domain.

Such counts have a column for each *pair*: the classes in order of label, and with domains all classes of the first
domain, then all of the second. Without domains a pair is a class.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Int64 = NDArray[np.int64]


def number(classes: int, domains: int) -> int:
    """Return how many pairs there are; ``domains`` is 0 without any."""
    return classes * max(domains, 1)


def of(labels: NDArray[np.integer], domains: NDArray[np.integer] | None, classes: int) -> Int64:
    """Return the pair of each image (N,); ``domains`` (N,) is None without any."""
    own = labels.astype(np.int64)
    return own if domains is None else domains.astype(np.int64) * classes + own


def by_class(counts: Int64, classes: int) -> Int64:
    """Return counts (..., pairs) summed over domains, (..., classes)."""
    return np.asarray(counts).reshape(*np.shape(counts)[:-1], -1, classes).sum(axis=-2)


def by_domain(counts: Int64, classes: int) -> Int64:
    """Return counts (..., pairs) summed over classes, (..., domains)."""
    return np.asarray(counts).reshape(*np.shape(counts)[:-1], -1, classes).sum(axis=-1)


def names(class_names: Sequence[str], domains: Sequence[str]) -> tuple[str, ...]:
    """Return what people call each pair, such as ``sketch: dog``, and without domains the names of the classes."""
    return tuple(f"{domain}: {name}" for domain in domains for name in class_names) if domains else tuple(class_names)
