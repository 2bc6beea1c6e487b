"""A recipe: everything that decides a generator's weights, read from a YAML file."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import Field, ValidationError, model_validator

from pipeline import bad_params, yaml_file
from pipeline.errors import ParameterError
from pipeline.section import Section
from pipeline.values import Pixels, Positive, Seed

Rate = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(gt=0, lt=1)]
_GROUP = 16
"""Channels of a normalisation group: thinner ones are slow in bfloat16 on a CPU."""

# Models learn that these words say nothing about the picture, so that prompt sets that vary them still work.
DOMAINS = (
    "photo",
    "picture",
    "image",
    "drawing",
    "painting",
    "sketch",
    "collage",
    "poster",
    "digital art",
    "rock drawing",
    "stick figure",
    "3d rendering",
)
TEMPLATES = ("{}", "a {}", *(f"a {domain} of a {{}}" for domain in DOMAINS))


class DataRecipe(Section):
    """What the generator learns from."""

    path: str
    split: str = "train"
    share: Share | None = None
    """Of each class, the share that the generator sees; None: all."""
    share_seed: Seed = 0
    size: Pixels | None = None
    mirror: bool = False


class CaptionsRecipe(Section):
    """What the text encoder learns: sentences with the class names, and words for groups of classes."""

    templates: Annotated[tuple[str, ...], Field(min_length=1)] = TEMPLATES
    groups: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """A word, and the classes whose pictures it also names."""
    tokens: Positive = 32
    """Longest caption that the text encoder reads."""
    width: Positive = 64
    layers: Positive = 2

    @model_validator(mode="after")
    def _name_the_class(self) -> Self:
        if bad := [text for text in self.templates if text.count("{}") != 1]:
            raise ValueError(f"write {{}} once for the class name: {bad[0]!r}")
        return self


class _Training(Section):
    steps: Positive
    batch: Positive
    rate: Rate = 2e-3
    seed: Seed
    averaging: Share
    """Of the exponential average of the weights, which is what is kept."""


class AutoencoderRecipe(_Training):
    """Pictures to latents and back; each width but the last halves the side."""

    widths: Annotated[tuple[Positive, ...], Field(min_length=1)]
    latent_channels: Positive = 4
    seed: Seed = 1
    averaging: Share = 0.99


class DiffusionRecipe(_Training):
    """The denoiser of latents, trained together with the text encoder."""

    widths: Annotated[tuple[Positive, ...], Field(min_length=2)]
    seed: Seed = 2
    averaging: Share = 0.998
    no_caption: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Share of pictures whose caption is empty, for guidance."""
    snapshots: Annotated[tuple[Annotated[float, Field(gt=0, le=1)], ...], Field(min_length=1)] = (1.0,)
    """Shares of the steps after which the generator is saved."""

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        if self.snapshots[-1] != 1 or len({self.after(share) for share in self.snapshots}) < len(self.snapshots):
            raise ValueError("write distinct shares of the steps, the last of them 1.0")
        return self

    def after(self, share: float) -> int:
        """Return the number of steps after which a snapshot is saved."""
        return max(round(share * self.steps), 1)


class Recipe(Section):
    """Everything that decides weights, beside the content of the images, the device and the versions of libraries."""

    data: DataRecipe
    captions: CaptionsRecipe = CaptionsRecipe()
    autoencoder: AutoencoderRecipe
    diffusion: DiffusionRecipe
    precision: Literal["float32", "bfloat16"] = "float32"
    """Of convolutions and products while training; weights and averages are float32."""
    threads: Positive = 2
    """Of torch on a CPU: sums in another order differ in their last bits."""

    @model_validator(mode="after")
    def _groups_of_channels(self) -> Self:
        for part in (self.autoencoder, self.diffusion):
            if bad := [width for width in part.widths if width % groups(part.widths)]:
                raise ValueError(f"width {bad[0]} is no multiple of the {groups(part.widths)} groups of a norm")
        return self


def groups(widths: Sequence[int]) -> int:
    """Return the normalisation groups of a network: 16 channels each where it is thinnest."""
    return max(min(widths) // _GROUP, 1)


def load(path: Path, changes: Sequence[str] = ()) -> Recipe:
    """Read a recipe; ``changes`` such as ``diffusion.steps=100`` replace or add values.

    Raises ParameterError with the file and the key at fault.
    """
    document = yaml_file.load(path)
    if not isinstance(document, dict):
        raise ParameterError("not a recipe", path, "write data, autoencoder and diffusion; see docs/generators.md")
    for change in changes:
        _apply(document, change)
    try:
        return Recipe.model_validate(document)
    except ValidationError as error:
        raise bad_params.explain(path, error, Recipe) from None


def _apply(document: dict[str, Any], change: str) -> None:
    keys, equals, text = change.partition("=")
    *sections, key = keys.split(".")
    if not equals or not key:
        raise ParameterError("not a change", f"--set {change}", "write --set SECTION.KEY=VALUE")
    for section in sections:
        document = document.setdefault(section, {})
        if not isinstance(document, dict):
            raise ParameterError(f"{section} has no keys", f"--set {change}", "write --set SECTION.KEY=VALUE")
    try:
        document[key] = yaml.safe_load(text)
    except yaml.YAMLError:
        raise ParameterError("not readable as YAML", f"--set {change}", "write a number, a text or [a, list]") from None
