"""Features of all sides, and copies: what repeats itself, and what is nearer to training images than it should be."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline import judges
from pipeline.artifacts.quality import Copies
from pipeline.evaluation import copies, extractors
from pipeline.evaluation.agreement import share
from pipeline.evaluation.extractors import Extractor
from pipeline.evaluation.sides import Int64, Reference, Side
from pipeline.judges import trained
from pipeline.params import Params
from pipeline.workspace import Workspace

Floats = NDArray[np.float32]
_LEAST = 20
"""Held-out images below which nothing is said of how near is usual."""
_PAIRS = 12
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
    sides = (synthetic, real.reference, real.validation, real.training)
    return Features(*(_of(workspace, extract, side) for side in sides))


def _of(workspace: Workspace, extract: Extractor, side: Side) -> Floats:
    found = [np.empty((0, extract.dimension), np.float32)]
    found += [extract.features(chunk) for chunk in side.chunks()]
    return np.concatenate(found)


def first(found: Floats, side: Side, counts: Int64) -> Floats:
    """Return the features of a side's first images of each class, as many as ``counts`` (classes,) says."""
    starts = np.cumsum(side.counts) - side.counts
    places = [np.arange(start, start + count) for start, count in zip(starts.tolist(), counts.tolist(), strict=True)]
    return found[np.concatenate(places)]


def measure(synthetic: Side, real: Reference, found: Features) -> Likeness:
    """Look for copies among the synthetic images, and of the clients' training images.

    An image is a copy if it is equal or nearly equal to a training image. It is close if it is nearer to one, by its
    features, than all but 1 % of the real validation images are, which nobody trained on.
    """
    pixels, trained_on = _pixels(synthetic), _pixels(real.training)
    exact, near = copies.repeats(pixels) >= 0, copies.near_repeats(pixels) >= 0
    twin = copies.repeats_of(pixels, trained_on)
    real_near = copies.near_repeats(_pixels(real.reference)) >= 0
    distance, nearest = copies.nearest(found.synthetic, found.training)
    usual, _ = copies.nearest(found.validation, found.training)
    calibrated = len(usual) >= _LEAST and len(found.training) > 0
    close = distance < np.quantile(usual, _EXPECTED) if calibrated else np.zeros(len(distance), bool)
    labels, classes = synthetic.labels, len(synthetic.by_class)

    def by_class(chosen: NDArray[np.bool_]) -> Int64:
        return np.bincount(labels[chosen], minlength=classes)

    nearest = np.where(twin >= 0, twin, nearest)
    order = np.lexsort((distance, twin < 0))
    rows, trained_rows = synthetic.rows, real.training.rows
    pairs = [Pair(int(labels[i]), int(rows[i]), int(trained_rows[nearest[i]]), bool(twin[i] >= 0)) for i in order]
    return Likeness(
        images=synthetic.counts,
        exact=by_class(exact),
        near=by_class(exact | near),
        training=by_class(twin >= 0),
        close=by_class(close),
        real=real.reference.counts,
        real_near=np.bincount(real.reference.labels[real_near], minlength=classes),
        calibrated=calibrated,
        pairs=tuple(pairs[:_PAIRS]),
    )


def _pixels(side: Side) -> NDArray[np.uint8]:
    size = side.images.image_size
    return np.concatenate([np.empty((0, size, size, 3), np.uint8), *side.chunks()])
