"""Features of all sides, and copies: what repeats itself, and what is nearer to training images than it should be."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pipeline import judges
from pipeline.artifacts.quality import MOST_PAIRS, Copies
from pipeline.evaluation import copies, embeddings, extractors
from pipeline.evaluation.agreement import share
from pipeline.evaluation.extractors import Extractor
from pipeline.evaluation.pixels import Identities, identities
from pipeline.evaluation.sides import Int64, Reference, Side
from pipeline.judges import trained
from pipeline.params import Params
from pipeline.workspace import Workspace

Floats = NDArray[np.float32]
_LEAST = 20
"""Held-out images below which nothing is said of how near is usual."""
_NOTHING = 1e-9
_EXPECTED = 0.01
"""Share of other real images that are nearer to a training image than the border."""


@dataclass(frozen=True)
class Features:
    """Features (N, D) of each side, in the order of its rows."""

    synthetic: Floats
    reference: Floats
    validation: Floats
    training: Floats


@dataclass(frozen=True)
class Pair:
    """A synthetic image and the training image that it is nearest to, or the earlier synthetic one that it repeats."""

    label: int
    synthetic: int
    """Row of the array of synthetic images."""
    other: int
    """Row of the training array, or of the synthetic images."""
    mark: Literal["copy", "close", "nearest", "equal", "near"]
    """Of a training image: a ``copy`` is equal or nearly equal to it, ``close`` is nearer than the border, ``nearest``
    is neither. Of a synthetic one: ``equal`` or ``near``."""


@dataclass(frozen=True)
class Likeness:
    """Copies by class, (classes,) each, the pairs nearest to training images, copies first, and the repetitions."""

    images: Int64
    exact: Int64
    near: Int64
    training: Int64
    close: Int64
    compared: Int64
    """Synthetic images, and as many real ones, in which repeats were counted to be compared."""
    synthetic_near: Int64
    real_near: Int64
    calibrated: bool
    """Whether there were held-out images to say how near is usual."""
    hashed: bool
    """Whether the perceptual hash tells these images apart; else only equal ones count as nearly equal."""
    pairs: tuple[Pair, ...]
    """Of a synthetic and a training image, at most ``MOST_PAIRS``."""
    repeats: tuple[Pair, ...]
    """Of two synthetic images, at most ``MOST_PAIRS``, equal ones first."""

    def of(self, labels: Int64) -> Copies:
        """Return the copies among the images of some labels."""
        images, compared = int(self.images[labels].sum()), int(self.compared[labels].sum())
        return Copies(
            images=images,
            exact=int(self.exact[labels].sum()),
            near=int(self.near[labels].sum()),
            compared=compared,
            near_synthetic=share(int(self.synthetic_near[labels].sum()), compared),
            near_real=share(int(self.real_near[labels].sum()), compared),
            training=int(self.training[labels].sum()),
            close=share(int(self.close[labels].sum()), images) if self.calibrated else None,
        )


def extractor(workspace: Workspace, params: Params, real: Reference, device: str) -> Extractor:
    """Return the extractor of ``evaluate.extractor``; ``trained`` is the network of the judge of that name."""
    chosen = params.evaluate
    if chosen.extractor == trained.NAME:
        training = judges.Training(real.data.train, real.parts.judge)
        return trained.Trained(real.class_names, lambda: training, workspace.judges)
    return extractors.load(chosen.extractor, workspace.at(""), chosen.extractor_revision, device)


def features(workspace: Workspace, extract: Extractor, real: Reference, synthetic: Side) -> Features:
    """Return the features of all sides, from the cache or extracted now."""
    store = embeddings.Store(workspace.embeddings, extract)
    sides = (synthetic, real.reference, real.validation, real.training)
    return Features(*(store.features(side.pixels()) for side in sides))


def first(found: Floats, side: Side, counts: Int64) -> Floats:
    """Return the features of a side's first images of each class, as many as ``counts`` (classes,) says."""
    chosen: Floats = found[_places(side, counts)]
    return chosen


def _places(side: Side, counts: Int64) -> Int64:
    """Return the places of these images among all of the side."""
    starts = np.cumsum(side.counts) - side.counts
    each = [np.arange(start, start + count) for start, count in zip(starts.tolist(), counts.tolist(), strict=True)]
    return np.concatenate(each)


def measure(synthetic: Side, real: Reference, found: Features) -> Likeness:
    """Look for copies among the synthetic images, and of the clients' training images.

    What is near is calibrated on real validation images, which nobody trained on: at most 1 % of them are nearly equal
    to a training image by their perceptual hash, and 1 % of each class are close to one by their features.
    """
    (names, hashes), known = _described(synthetic), _described(real.training)
    calibrated = len(found.validation) >= _LEAST and len(found.training) > 0
    bits = _bits(real, known[1]) if calibrated else -1
    labels, classes = synthetic.labels, len(synthetic.by_class)

    def by_class(chosen: NDArray[np.bool_]) -> Int64:
        return np.bincount(labels[chosen], minlength=classes)

    twin, (distance, nearest) = _twins(names, hashes, *known, bits), _distances(found)
    # By the border of its class: else the classes whose images all look alike would be the nearest.
    apart = distance / (_borders(real.validation, found) if calibrated else np.ones(classes))[labels]
    close = calibrated & (apart < 1)
    earlier, exact = _earlier(names, hashes, bits), copies.exact_within(names) >= 0
    # As many of each class: the more images there are, the more of them have another one near.
    counts = np.minimum(synthetic.counts, real.reference.counts)
    return Likeness(
        images=synthetic.counts,
        exact=by_class(exact),
        near=by_class(earlier >= 0),
        training=by_class(twin >= 0),
        close=by_class(close),
        compared=counts,
        synthetic_near=_repeated(synthetic, names, hashes, counts, bits),
        real_near=_repeated(real.reference, *_described(real.reference), counts, bits),
        calibrated=calibrated,
        hashed=bits >= 0,
        pairs=_pairs(synthetic, real.training, np.where(twin >= 0, twin, nearest), apart, twin >= 0, close),
        repeats=_repeats(synthetic, earlier, exact),
    )


def _bits(real: Reference, trained: copies.Hashes) -> int:
    """Return in how many bits of their hashes images may differ to count as nearly equal, -1 for none."""
    held_out = copies.closest(_described(real.validation)[1], trained)[0]
    return copies.most_bits(held_out, _EXPECTED)


def _twins(
    names: Identities, hashes: copies.Hashes, trained_names: Identities, trained_hashes: copies.Hashes, bits: int
) -> Int64:
    """Return for each synthetic image (N,) the place of a training image that it equals, or nearly equals; else -1."""
    exact = copies.exact_of(names, trained_names)
    return exact if bits < 0 else np.where(exact >= 0, exact, copies.near_of(hashes, trained_hashes, bits))


def _borders(held_out: Side, found: Features) -> NDArray[np.float64]:
    """Return for each label the distance below which an image is close to a training image, (classes,).

    Classes differ: photographs of trousers resemble each other, and those of bags do not. So held-out images of the
    same class set the border, where there are enough for 1 %, else those of all classes.
    """
    usual, labels = copies.nearest(found.validation, found.training)[0], held_out.labels
    sets = (usual[labels == label] for label in range(len(held_out.by_class)))
    chosen = (own if len(own) + 1 >= 1 / _EXPECTED else usual for own in sets)
    # Data sets have duplicates, but a distance of 0 is no border.
    return np.array([max(copies.threshold(own, _EXPECTED).distance, _NOTHING) for own in chosen])


def _described(side: Side) -> tuple[Identities, copies.Hashes]:
    pixels = side.pixels()
    return identities(pixels), copies.perceptual(pixels)


def _earlier(names: Identities, hashes: copies.Hashes, bits: int) -> Int64:
    """Return for each image (N,) the place of an earlier one that it equals, or nearly equals; -1 for none."""
    exact = copies.exact_within(names)
    return np.where(exact >= 0, exact, copies.near_within(hashes, bits))


def _repeated(side: Side, names: Identities, hashes: copies.Hashes, counts: Int64, bits: int) -> Int64:
    """Return how many of the first images of each class, as many as ``counts`` says, repeat one of them, (classes,)."""
    chosen = _places(side, counts)
    repeated = _earlier(names[chosen], hashes[chosen], bits) >= 0
    return np.bincount(side.labels[chosen][repeated], minlength=len(counts))


def _distances(found: Features) -> tuple[NDArray[np.float64], Int64]:
    """Return for each synthetic image the distance to the nearest training image, and its place; (N,) each."""
    if not len(found.training) or not len(found.synthetic):
        return np.full(len(found.synthetic), np.inf), np.full(len(found.synthetic), -1)
    return copies.nearest(found.synthetic, found.training)


def _pairs(
    synthetic: Side,
    training: Side,
    other: Int64,
    apart: NDArray[np.float64],
    copied: NDArray[np.bool_],
    close: NDArray[np.bool_],
) -> tuple[Pair, ...]:
    """Return the nearest pairs, copies first."""
    labels, rows, trained_rows = synthetic.labels, synthetic.rows, training.rows
    order = [place for place in np.lexsort((apart, ~copied)).tolist() if other[place] >= 0]
    return tuple(
        Pair(
            int(labels[place]),
            int(rows[place]),
            int(trained_rows[other[place]]),
            "copy" if copied[place] else "close" if close[place] else "nearest",
        )
        for place in order[:MOST_PAIRS]
    )


def _repeats(synthetic: Side, earlier: Int64, exact: NDArray[np.bool_]) -> tuple[Pair, ...]:
    """Return synthetic images, each with the earlier one that it repeats, equal ones first."""
    labels, rows = synthetic.labels, synthetic.rows
    order = [place for place in np.argsort(~exact, kind="stable").tolist() if earlier[place] >= 0]
    return tuple(
        Pair(int(labels[place]), int(rows[place]), int(rows[earlier[place]]), "equal" if exact[place] else "near")
        for place in order[:MOST_PAIRS]
    )
