"""Feature extractors by name: one file each, the same pixels in, the same features out, whatever else is asked."""

from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from pipeline.data import digests
from pipeline.errors import ParameterError
from pipeline.judges import files

Pixels = NDArray[np.uint8]
Features = NDArray[np.float32]


class Extractor(Protocol):
    """A network that turns an image into a vector."""

    @property
    def name(self) -> str:
        """The extractor as the parameters call it."""
        ...

    @property
    def digest(self) -> str:
        """SHA-256 of all that decides features: weights, preprocessing, version of this code; 64 hexadecimal digits."""
        ...

    @property
    def dimension(self) -> int:
        """Numbers in the features of an image."""
        ...

    def features(self, images: Pixels) -> Features:
        """Return the features (N, dimension) of images (N, H, W, 3); each row depends on its own image alone."""
        ...


def load(name: str, root: Path = Path(), revision: str | None = None, device: str = "cpu") -> Extractor:
    """Return the extractor of this name, ready on a device.

    The names are ``efficientnet-lite0``, ``dinov2``, ``clip`` and ``inception``. A colon and a place may follow the
    last three: a Hub id or a folder, such as ``dinov2:facebook/dinov2-large``, and for ``inception`` a file of weights.
    Relative places start at ``root``; ``revision`` is a branch, tag or commit of a Hub model. Raises ParameterError for
    a name that is not known, or a model that is not found or cannot be loaded.
    """
    kind, _, place = name.partition(":")
    if kind == "efficientnet-lite0" and not place:
        from pipeline.evaluation.extractors import efficientnet_lite0

        return efficientnet_lite0.load(device)
    if kind == "dinov2":
        from pipeline.evaluation.extractors import dinov2

        return dinov2.load(place or None, root, revision, device)
    if kind == "clip":
        from pipeline.evaluation.extractors import clip

        return clip.load(place or None, root, revision, device)
    if kind == "inception":
        from pipeline.evaluation.extractors import inception

        return inception.load(place or None, root, device)
    known = "efficientnet-lite0, dinov2, clip or inception; a place may follow the last three, as in clip:PLACE"
    raise ParameterError("no such extractor", repr(name), f"use {known}")


def identity(name: str, revision: str | None, root: Path) -> str:
    """Return what an extractor is, without loading it: content or a commit in place of a place.

    Raises ParameterError if a model that is named by a place is not found.
    """
    kind, _, place = name.partition(":")
    if not place:
        return name if revision is None else f"{name}@{revision}"
    if kind == "inception":
        return f"{kind}:{digests.of(root, [root / place])[0]}"
    return f"{kind}:{files.find(place, revision, root, 'evaluate.extractor').identity}"
