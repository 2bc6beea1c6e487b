"""The manifest: what shards exist. It is written last; training, verify and push read only what it names."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Self

from PIL import Image
from pydantic import BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic_core import PydanticKnownError

from pipeline import atomic
from pipeline.artifacts import parquet, shard_reader
from pipeline.artifacts.encoded import Encoding
from pipeline.errors import ArtifactError

_REDO = "run: dvc repro generate"
LARGEST = 512_000_000
"""Bytes of a manifest that is read."""
_STRICT = ConfigDict(strict=True, extra="forbid")  # how the file is read: no value is converted, none ignored


Count = Annotated[int, Field(ge=0)]


def _unknown_key(_: object) -> Path:
    raise PydanticKnownError("unexpected_keyword_argument")


@dataclass(frozen=True)
class File:
    """One file of a shard."""

    __pydantic_config__ = _STRICT

    name: str
    rows: Count
    bytes: Count
    sha256: str

    @classmethod
    def of(cls, path: Path, rows: int) -> Self:
        """Describe a file that was just written."""
        return cls(path.name, rows, path.stat().st_size, atomic.sha256(path))


@dataclass(frozen=True)
class Shard:
    """One client's line in the manifest."""

    __pydantic_config__ = _STRICT

    client: int
    plan: str
    """Digest of the client's part of the plan."""
    counts: tuple[Count, ...]
    """Images of each label."""
    files: Annotated[tuple[File, ...], Field(min_length=1)]
    """One, or several for a client of many images."""

    @property
    def rows(self) -> int:
        return sum(file.rows for file in self.files)

    @property
    def bytes(self) -> int:
        return sum(file.bytes for file in self.files)


@dataclass(frozen=True)
class Manifest:
    """All shards of one plan, in order of client."""

    __pydantic_config__ = _STRICT

    recipe: str
    """Digest of the recipe."""
    recipe_text: dict[str, Any]
    """The recipe itself, for readers."""
    sharing: Annotated[str, Field(pattern="^(own|common)$")]
    class_names: tuple[str, ...]
    shards: tuple[Shard, ...]
    place: Annotated[Path, BeforeValidator(_unknown_key)] = field(default=Path("data/manifest.json"), compare=False)
    """The manifest's own file; not written into it, and refused if the file contains it."""
    prompt_names: tuple[str, ...] | None = field(default=None, compare=False)
    """What prompts call the classes, in order of label; None in manifests that were written before it was recorded."""

    @property
    def folder(self) -> Path:
        """The folder of the shards, beside the manifest."""
        return self.place.with_name("shards")

    def paths(self, shard: Shard) -> list[Path]:
        """Return the places of a shard's files."""
        return [self.folder / file.name for file in shard.files]

    @property
    def encoding(self) -> Encoding:
        """How all images are stored; raises ArtifactError if the recipe does not say it."""
        try:
            return Encoding.of(self.recipe_text)
        except ValueError as error:
            raise ArtifactError(f"damaged (recipe_text: {error})", self.place, _REDO) from None

    def check(self, shard: Shard) -> None:
        """Raise ArtifactError if a shard's file is not, byte for byte, the one that the manifest describes.

        The rows are not looked at, but for their number.
        """
        fix = fix_of(shard)
        for file, path in zip(shard.files, self.paths(shard), strict=True):
            if not path.is_file():
                raise ArtifactError("shard missing", path, fix)
            if path.stat().st_size != file.bytes or atomic.sha256(path) != file.sha256:
                raise ArtifactError("shard differs from the manifest", path, fix)
            header = shard_reader.read_header(path, self.class_names, file.rows, fix)
            if (header.client, header.recipe, header.plan) != (shard.client, self.recipe, shard.plan):
                raise ArtifactError("shard is of another recipe or plan than the manifest says", path, fix)

    def pictures(self, shard: Shard, most: int | None = None) -> Iterator[tuple[int, Image.Image]]:
        """Yield label and picture (RGB) of a shard's rows: of all, or of the first ``most`` of each label.

        Some of them are in memory at a time. Raises ArtifactError for what is no image of the recipe's format and size,
        or has no label of the classes.
        """
        return pictures(self.paths(shard), self.class_names, self.encoding, fix_of(shard), most)

    @property
    def rows(self) -> int:
        return sum(shard.rows for shard in self.shards)

    def shard(self, client: int) -> Shard:
        """Return a client's line; raise ArtifactError if there is no such client."""
        if not 0 <= client < len(self.shards):
            raise ArtifactError(f"no client {client}", self.place, f"clients are 0 to {len(self.shards) - 1}")
        return self.shards[client]

    def with_shard(self, shard: Shard) -> "Manifest":
        """Return a copy in which one client's line is replaced."""
        shards = tuple(shard if old.client == shard.client else old for old in self.shards)
        return replace(self, shards=shards)

    def save(self) -> None:
        """Write the manifest to its place."""
        head = {name: value for name, value in asdict(self).items() if name not in ("shards", "place")}
        if self.prompt_names is None:
            del head["prompt_names"]
        lines = ",\n".join(f"    {json.dumps(asdict(shard))}" for shard in self.shards)
        text = json.dumps(head, indent=2, sort_keys=True).removesuffix("\n}")
        atomic.write_text(self.place, f'{text},\n  "shards": [\n{lines}\n  ]\n}}\n')


def load(path: Path) -> Manifest:
    """Read the manifest; raise ArtifactError if it is missing or damaged. The shards are not looked at."""
    if not path.is_file():
        raise ArtifactError("no such file", path, _REDO)
    if path.stat().st_size > LARGEST:
        raise ArtifactError(f"larger than any manifest ({LARGEST:,} bytes)", path, _REDO)
    try:
        manifest = _reader().validate_json(path.read_bytes())
    except ValidationError as error:
        raise ArtifactError(f"damaged ({parquet.short(error)})", path, _REDO) from None
    if contradiction := _contradiction(manifest):
        raise ArtifactError(contradiction, path, _REDO)
    return replace(manifest, place=path)


@cache
def _reader() -> TypeAdapter[Manifest]:
    return TypeAdapter(Manifest)


def _contradiction(manifest: Manifest) -> str | None:
    """Return in what a manifest contradicts itself, or None."""
    shards, names, words = manifest.shards, manifest.class_names, manifest.prompt_names
    if [shard.client for shard in shards] != list(range(len(shards))):
        return "clients missing or out of order"
    if len(set(names)) < len(names) or (words is not None and not len(set(words)) == len(words) == len(names)):
        return "class names that are not one for each class"
    if any(len(shard.counts) != len(names) or sum(shard.counts) != shard.rows for shard in shards):
        return "counts of images that do not add up"
    named = [(file.name, shard.client, i) for shard in shards for i, file in enumerate(shard.files)]
    if any(name != file_name(client, part) for name, client, part in named):
        return "a file name that is not its client's, or leads out of the folder"
    return None


def pictures(
    paths: Iterable[Path], class_names: Sequence[str], encoding: Encoding, fix: str, most: int | None = None
) -> Iterator[tuple[int, Image.Image]]:
    """Yield label and picture (RGB) of the rows of some files of images; see ``Manifest.pictures``."""
    counts = [0] * len(class_names)
    for path in paths:
        for columns in shard_reader.read(path, class_names, encoding, fix):
            for label, image in zip(columns["label"], columns["image"], strict=True):
                if not 0 <= label < len(counts):
                    raise ArtifactError(f"not a shard (label {label} of {len(counts)} classes)", path, fix)
                if most is not None and counts[label] >= most:
                    continue
                counts[label] += 1
                try:
                    picture = encoding.decode(image)
                except ValueError as error:
                    raise ArtifactError(f"not a shard (an image {error})", path, fix) from None
                yield label, picture


def fix_of(shard: Shard) -> str:
    """Return what to do about a shard that is not as it should be."""
    return f"run: gen-fedsd regenerate --client {shard.client}"


def file_name(client: int, part: int = 0) -> str:
    """Return the name of a client's shard, or of a further part of one that is too big for one file."""
    return f"client-{client:05}.part-{part:03}.parquet" if part else f"client-{client:05}.parquet"
