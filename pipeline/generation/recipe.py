"""The recipe: everything that decides an image's bytes, and the image specs that it gives."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, Self

from pydantic import ConfigDict, TypeAdapter
from pydantic_core import from_json

from pipeline import seeds
from pipeline.artifacts import spec as specs
from pipeline.artifacts.encoded import Encoding
from pipeline.artifacts.spec import COMMON, ImageSpec
from pipeline.generation.prompts import PromptSet

FORMAT_VERSION = 3
"""Raise it when a change of code changes the bytes of an image that a recipe describes."""

_MOST_CHOICES = 2**48  # with any number of scales they are chosen by one number below 2^63
_MOST_LENGTH = 20_000  # characters of a sentence

__all__ = ["COMMON", "FORMAT_VERSION", "Lora", "Recipe", "differences", "digest", "read"]


@dataclass(frozen=True)
class Lora:
    """LoRA weights that are added to the model's."""

    __pydantic_config__ = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)

    digest: str
    """``sha256:`` and the digest of the file."""
    scale: float


@dataclass(frozen=True)
class Recipe:
    """Images of equal recipe, lane, class name and index have equal bytes on equal hardware."""

    __pydantic_config__ = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)  # how a description is read

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
    def from_dict(cls, described: object) -> Self:
        """Return the recipe that ``as_dict`` described; raise ValueError for anything else.

        Nothing is converted, ignored or filled in: what is returned describes itself in the same way.
        """
        if not isinstance(described, dict) or not isinstance(described.get("prompts"), dict):
            raise ValueError("it is not an object with prompts")
        attributes = sorted((name, values) for name, values in described["prompts"].items() if name != "templates")
        prompts = {"templates": described["prompts"].get("templates"), "attributes": attributes}
        text = json.dumps({**described, "prompts": prompts})
        made = TypeAdapter(cls).validate_json(text)
        if json.dumps(made.as_dict(), sort_keys=True) != json.dumps(described, sort_keys=True):
            raise ValueError("it is written in another way")
        return made.checked()

    def checked(self) -> Self:
        """Return the recipe; raise ValueError if no image can be of it."""
        Encoding.of({"image_format": self.image_format, "image_size": self.image_size})
        templates, attributes = self.prompts.templates, self.prompts.attributes
        if not templates or not all(values for _, values in attributes) or self.prompts.choices >= _MOST_CHOICES:
            raise ValueError("its prompts are no sentences to choose from")
        marks = [f"{{{name}}}" for name, _ in attributes]
        if any(mark in value for mark in marks for _, values in attributes for value in values):
            raise ValueError("its prompts have attributes within attributes")
        longest = [max(map(len, values)) for _, values in attributes]
        for sentence in templates:
            length = sum(sentence.count(mark) * most for mark, most in zip(marks, longest, strict=True))
            if len(sentence) + length > _MOST_LENGTH:
                raise ValueError("its prompts are longer than any text encoder reads")
        if not self.guidance or list(self.guidance) != sorted(set(self.guidance)) or self.guidance[0] < 0:
            raise ValueError("its guidance is no increasing list of scales")
        if min(self.steps, self.batch_size) < 1:
            raise ValueError("its steps or its batch_size is below 1")
        return self

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
            prompt=self.prompts.prompt(class_name, choose, specs.domain_of(lane)),
            negative_prompt=self.negative_prompt,
            guidance=self.guidance[choose(len(self.guidance))],
            seed=seeds.derive(self.seed, *names),
            retry=retry,
        )

    @cached_property
    def _images_differ(self) -> bool:
        """Return whether images differ in anything but class and seed."""
        return len(self.guidance) > 1 or self.prompts.choices > 1


def read(text: str | bytes) -> Recipe:
    """Return the recipe that a JSON text describes; raise ValueError for anything else, deep nesting included."""
    return Recipe.from_dict(from_json(text))


def digest(described: Mapping[str, Any]) -> str:
    """Return the identity of a recipe that is described by JSON-ready values."""
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:16]


def differences(mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[str]:
    """Return the names of the settings in which two recipes differ, both described by JSON-ready values."""
    absent = object()
    return [name for name in {**mine, **theirs} if mine.get(name, absent) != theirs.get(name, absent)]
