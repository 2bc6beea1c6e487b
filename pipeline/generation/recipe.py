"""The recipe: everything that decides an image's bytes, and the image specs that it gives."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from pipeline import seeds

FORMAT_VERSION = 1
"""Raise it when a change of code changes the bytes of an image that a recipe describes."""

COMMON = "common"
"""The one lane of images that clients share."""

CLASS_MARK = "{class}"


@dataclass(frozen=True, slots=True)
class ImageSpec:
    """One synthetic image before it exists. Lane, class name and index identify it within a recipe."""

    lane: str
    """Whose image it is: a client's number, or ``common``."""
    class_name: str
    index: int
    """Counts a lane's images of one class, from 0."""
    prompt: str
    negative_prompt: str
    guidance: float
    seed: int
    """Seeds the image's initial noise; differs between retries."""
    retry: int = 0
    """How often the image was drawn before and found unusable."""


@dataclass(frozen=True)
class Recipe:
    """Two images with equal recipes and equal (lane, class name, index) have equal bytes on equal hardware."""

    seed: int
    model: str
    """``hub-id@commit``, or ``sha256:`` and the digest of a folder's files, so that its place does not matter."""
    variant: str | None
    scheduler: str | None
    scheduler_options: Mapping[str, Any] = field(hash=False)
    steps: int
    guidance: float
    prompt: str
    negative_prompt: str
    render_size: int | None
    image_size: int
    dtype: str
    batch_size: int
    format_version: int = FORMAT_VERSION

    def as_dict(self) -> dict[str, Any]:
        """Return the recipe as JSON-ready values."""
        return {**asdict(self), "scheduler_options": dict(self.scheduler_options)}

    @property
    def digest(self) -> str:
        """Return the recipe's identity, 16 hexadecimal digits."""
        text = json.dumps(self.as_dict(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def spec(self, lane: str, class_name: str, index: int, retry: int = 0) -> ImageSpec:
        """Return the spec of one image; its seed hangs on its name and retry number alone."""
        names: tuple[str | int, ...] = ("image", lane, class_name, index, *([retry] if retry else []))
        return ImageSpec(
            lane=lane,
            class_name=class_name,
            index=index,
            prompt=self.prompt.replace(CLASS_MARK, class_name),
            negative_prompt=self.negative_prompt,
            guidance=self.guidance,
            seed=seeds.derive(self.seed, *names),
            retry=retry,
        )
