"""A test split made from the training split: a share of each class, drawn once by a seed of its own."""

import numpy as np
from numpy.typing import NDArray

from pipeline import seeds
from pipeline.errors import DataError


def draw(labels: NDArray[np.int64], texts: tuple[str, ...], share: float, seed: int) -> NDArray[np.bool_]:
    """Return which rows are held out, (N,); a row without a label, -1, is not.

    Each class gives its share, rounded so that the sum is right (largest remainder; equal ones by the seed), and keeps
    at least one image for training. Raises DataError if nothing is left to hold out.
    """
    counts = np.bincount(labels[labels >= 0], minlength=len(texts))
    exact = counts * share
    most = np.maximum(counts - 1, 0)
    held = np.minimum(np.floor(exact).astype(np.int64), most)
    order = seeds.generator(seed, "holdout", "ties").permutation(len(texts))
    left = round(float(exact.sum())) - int(held.sum())
    for label in order[np.argsort(-(exact - np.floor(exact))[order], kind="stable")]:
        if left > 0 and held[label] < min(most[label], np.ceil(exact[label])):
            held[label] += 1
            left -= 1
    if not held.sum():
        what = f"a share of {share:g} of {len(labels)} images is no image"
        raise DataError(what, "params.yaml, data.holdout", "hold out more, or name a test split in data.test")
    out = np.zeros(len(labels), np.bool_)
    for label, text in enumerate(texts):
        rows = np.flatnonzero(labels == label)
        out[seeds.generator(seed, "holdout", text).permutation(rows)[: held[label]]] = True
    return out
