"""The recipe: everything that decides an image's bytes, and the image specs that it gives."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, Self

from pipeline import seeds
from pipeline.artifacts.spec import ImageSpec
from pipeline.generation.prompts import PromptSet

FORMAT_VERSION = 3
"""Raise it when a change of code changes the bytes of an image that a recipe describes."""

COMMON = "common"
"""The one lane of images that clients share."""


@dataclass(frozen=True)
class Lora:
    """LoRA weights that are added to the model's."""

    digest: str
    """``sha256:`` and the digest of the file."""
    scale: float


@dataclass(frozen=True)
class Recipe:
    """Images of equal recipe, lane, class name and index have equal bytes on equal hardware."""

    seed: int
    model: str
    """``hub-id@commit``, or ``sha256:`` and a digest of a folder's or file's content: its place does not matter."""
    variant: str | None
    scheduler: str | None
    scheduler_options: Mapping[str, Any] = field(hash=False)
    steps: int
    guidance: tuple[float, ...]
    """Each image has one of these scales, in increasing order."""
    prompts: PromptSet
    negative_prompt: str
    render_size: int | None
    image_size: int
    image_format: str
    """``png``, ``jpeg`` or ``webp``."""
    quality: int | None
    """Of JPEG or WebP, 1 to 100; None for PNG."""
    dtype: str
    batch_size: int
    compile: bool
    format_version: int = FORMAT_VERSION
    lora: tuple[Lora, ...] = ()
    """In the order in which they are added."""

    def as_dict(self) -> dict[str, Any]:
        """Return the recipe as JSON-ready values; without LoRA it has no such entry, as before there were any."""
        prompts = {"templates": list(self.prompts.templates), **{k: list(v) for k, v in self.prompts.attributes}}
        options = dict(self.scheduler_options)
        described = asdict(self)
        described |= {"scheduler_options": options, "guidance": list(self.guidance), "prompts": prompts}
        del described["lora"]
        return {**described, "lora": [asdict(one) for one in self.lora]} if self.lora else described

    @classmethod
    def from_dict(cls, described: Mapping[str, Any]) -> Self:
        """Return the recipe that ``as_dict`` described; raise KeyError or TypeError for anything else."""
        prompts = dict(described["prompts"])
        templates = tuple(prompts.pop("templates"))
        attributes = tuple((name, tuple(values)) for name, values in sorted(prompts.items()))
        guidance = tuple(described["guidance"])
        lora = tuple(Lora(**one) for one in described.get("lora", ()))
        return cls(**{**described, "guidance": guidance, "prompts": PromptSet(templates, attributes), "lora": lora})

    @cached_property
    def digest(self) -> str:
        """Return the recipe's identity, 16 hexadecimal digits."""
        return digest(self.as_dict())

    def spec(self, lane: str, class_name: str, index: int, retry: int = 0) -> ImageSpec:
        """Return the spec of one image: prompt and guidance follow from its name, the seed from name and retry."""
        left = seeds.derive(self.seed, "choice", lane, class_name, index) if self._images_differ else 0

        def choose(among: int) -> int:
            nonlocal left
            left, choice = divmod(left, among)
            return choice

        names: tuple[str | int, ...] = ("image", lane, class_name, index, *([retry] if retry else []))
        return ImageSpec(
            lane=lane,
            class_name=class_name,
            index=index,
            prompt=self.prompts.prompt(class_name, choose),
            negative_prompt=self.negative_prompt,
            guidance=self.guidance[choose(len(self.guidance))],
            seed=seeds.derive(self.seed, *names),
            retry=retry,
        )

    @cached_property
    def _images_differ(self) -> bool:
        """Return whether images differ in anything but class and seed."""
        return len(self.guidance) > 1 or self.prompts.choices > 1


def digest(described: Mapping[str, Any]) -> str:
    """Return the identity of a recipe that is described by JSON-ready values."""
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:16]


def differences(mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[str]:
    """Return the names of the settings in which two recipes differ, both described by JSON-ready values."""
    absent = object()
    return [name for name in {**mine, **theirs} if mine.get(name, absent) != theirs.get(name, absent)]
