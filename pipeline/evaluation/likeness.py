"""Features of all sides, and copies: what repeats itself, and what is nearer to training images than it should be."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline import judges
from pipeline.artifacts.quality import Copies
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
_PAIRS = 12
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
    """A synthetic image and the training image that it is nearest to."""

    label: int
    synthetic: int
    """Row of the array of synthetic images."""
    training: int
    """Row of the training array."""
    copy: bool
    """Whether it is equal or nearly equal to it."""


@dataclass(frozen=True)
class Likeness:
    """Copies by class, (classes,) each, and the nearest pairs, copies first."""

    images: Int64
    exact: Int64
    near: Int64
    training: Int64
    close: Int64
    real: Int64
    """Real images in which repeats were counted."""
    real_near: Int64
    calibrated: bool
    """Whether there were held-out images to say how near is usual."""
    hashed: bool
    """Whether the perceptual hash tells these images apart; else only equal ones count as nearly equal."""
    pairs: tuple[Pair, ...]

    def of(self, labels: Int64) -> Copies:
        """Return the copies among the images of some labels."""
        images, exact, near, training, close, real, real_near = (
            int(counts[labels].sum())
            for counts in (
                *(self.images, self.exact, self.near, self.training),
                *(self.close, self.real, self.real_near),
            )
        )
        usual = share(real_near, real)
        return Copies(images, exact, near, usual, training, share(close, images) if self.calibrated else None)


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
    starts = np.cumsum(side.counts) - side.counts
    places = [np.arange(start, start + count) for start, count in zip(starts.tolist(), counts.tolist(), strict=True)]
    chosen: Floats = found[np.concatenate(places)]
    return chosen


def measure(synthetic: Side, real: Reference, found: Features) -> Likeness:
    """Look for copies among the synthetic images, and of the clients' training images.

    What is near is calibrated on real validation images, which nobody trained on: at most 1 % of them are nearly equal
    to a training image by their perceptual hash, and 1 % of each class are close to one by their features.
    """
    names, hashes = _described(synthetic)
    trained_names, trained_hashes = _described(real.training)
    calibrated = len(found.validation) >= _LEAST and len(found.training) > 0
    bits = -1
    if calibrated:
        bits = copies.most_bits(copies.closest(_described(real.validation)[1], trained_hashes)[0], _EXPECTED)
    labels, classes = synthetic.labels, len(synthetic.by_class)

    def by_class(chosen: NDArray[np.bool_]) -> Int64:
        return np.bincount(labels[chosen], minlength=classes)

    twin = copies.exact_of(names, trained_names)
    if bits >= 0:
        twin = np.where(twin >= 0, twin, copies.near_of(hashes, trained_hashes, bits))
    distance, nearest = _distances(found)
    # By the border of its class: else the classes whose images all look alike would be the nearest.
    borders = _borders(real.validation, found) if calibrated else np.ones(classes)
    close = calibrated & (distance < borders[labels])
    repeated = _repeats(*_described(real.reference), bits)
    return Likeness(
        images=synthetic.counts,
        exact=by_class(copies.exact_within(names) >= 0),
        near=by_class(_repeats(names, hashes, bits)),
        training=by_class(twin >= 0),
        close=by_class(close),
        real=real.reference.counts,
        real_near=np.bincount(real.reference.labels[repeated], minlength=classes),
        calibrated=calibrated,
        hashed=bits >= 0,
        pairs=_pairs(
            synthetic, real.training, np.where(twin >= 0, twin, nearest), distance / borders[labels], twin >= 0
        ),
    )


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


def _repeats(names: Identities, hashes: copies.Hashes, bits: int) -> NDArray[np.bool_]:
    """Return whether each image (N,) equals, or nearly equals, an earlier one."""
    return (copies.exact_within(names) >= 0) | (copies.near_within(hashes, bits) >= 0)


def _distances(found: Features) -> tuple[NDArray[np.float64], Int64]:
    """Return for each synthetic image the distance to the nearest training image, and its place; (N,) each."""
    if not len(found.training) or not len(found.synthetic):
        return np.full(len(found.synthetic), np.inf), np.full(len(found.synthetic), -1)
    return copies.nearest(found.synthetic, found.training)


def _pairs(
    synthetic: Side, training: Side, other: Int64, apart: NDArray[np.float64], copied: NDArray[np.bool_]
) -> tuple[Pair, ...]:
    """Return the nearest pairs, copies first."""
    labels, rows, trained_rows = synthetic.labels, synthetic.rows, training.rows
    order = [place for place in np.lexsort((apart, ~copied)).tolist() if other[place] >= 0]
    return tuple(
        Pair(int(labels[place]), int(rows[place]), int(trained_rows[other[place]]), bool(copied[place]))
        for place in order[:_PAIRS]
    )
