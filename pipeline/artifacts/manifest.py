"""The manifest: what shards exist. It is written last; training, verify and push read only what it names."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from PIL import Image
from pydantic import AfterValidator, BeforeValidator, Field, TypeAdapter, ValidationError
from pydantic_core import PydanticKnownError

from pipeline import atomic
from pipeline.artifacts import pairs, parquet, shard_pictures, shard_reader, shards
from pipeline.artifacts.encoded import Encoding
from pipeline.artifacts.gate import Gate
from pipeline.artifacts.manifest_lines import STRICT, File, Refused, Shard
from pipeline.errors import ArtifactError

__all__ = [
    "FORMAT",
    "LARGEST",
    "MARKED",
    "PLAIN",
    "REFUSED",
    "File",
    "Manifest",
    "Refused",
    "Shard",
    "file_name",
    "fix_of",
    "load",
]

_REDO = "run: dvc repro generate"
LARGEST = 512_000_000
"""Bytes of a manifest that is read."""
PLAIN, FORMAT, MARKED = 1, 2, 3
"""Versions of the file. Shards of the first two do not say that their images are synthetic: those of ``PLAIN`` have no
gate, those of ``FORMAT`` have one. Shards of ``MARKED`` say it, with or without a gate."""
REFUSED = "refused"
"""The folder, in that of the shards, of images that the gate refused."""


def _unknown_key(_: object) -> Path:
    raise PydanticKnownError("unexpected_keyword_argument")


def _known(version: int) -> int:
    if version not in (PLAIN, FORMAT, MARKED):
        raise ValueError(f"format {version}, and this version of gen-fedsd reads {PLAIN} to {MARKED}")
    return version


@dataclass(frozen=True)
class Manifest:
    """All shards of one plan, in order of client."""

    __pydantic_config__ = STRICT

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
    gate: Gate | None = None
    """What decided which images the shards have; None: nothing."""
    format: Annotated[int, AfterValidator(_known)] = field(default=PLAIN, compare=False)
    """What the file that was read said; one that says nothing is ``PLAIN``. What is written follows from the gate
    unless this is ``MARKED``."""
    domains: tuple[str, ...] = ()
    """What the data set calls its domains, in order of their numbers; empty without any."""
    domain_words: tuple[str, ...] = ()
    """What prompts call the domains."""

    @property
    def marked(self) -> bool:
        """Whether the shards say of each image that it is synthetic."""
        return self.format == MARKED

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of the shards' files, in order."""
        return shards.columns(self.gate is not None, bool(self.domains), self.marked)

    @property
    def pair_names(self) -> tuple[str, ...]:
        """What people call the columns of counts: the classes, or each class in each domain."""
        return pairs.names(self.class_names, self.domains)

    @property
    def folder(self) -> Path:
        """The folder of the shards, beside the manifest."""
        return self.place.with_name("shards")

    @property
    def refused_folder(self) -> Path:
        """The folder of what the gate refused."""
        return self.folder / REFUSED

    def paths(self, shard: Shard) -> list[Path]:
        """Return the places of a shard's files."""
        return [self.folder / file.name for file in shard.files]

    def refused_paths(self, shard: Shard) -> list[Path]:
        """Return the places of the files of what the gate refused of a client's images."""
        return [self.refused_folder / file.name for file in shard.refused_files]

    def files(self, shard: Shard) -> Iterator[tuple[File, Path]]:
        """Yield all of a client's files, those of refused images last, and their places."""
        yield from zip(shard.files, self.paths(shard), strict=True)
        yield from zip(shard.refused_files, self.refused_paths(shard), strict=True)

    @property
    def encoding(self) -> Encoding:
        """How all images are stored; raises ArtifactError if the recipe does not say it."""
        try:
            return Encoding.of(self.recipe_text)
        except ValueError as error:
            raise ArtifactError(f"damaged (recipe_text: {error})", self.place, _REDO) from None

    def check(self, shard: Shard) -> None:
        """Raise ArtifactError if a client's file is not, byte for byte, the one that the manifest describes.

        The rows are not looked at, but for their number.
        """
        fix = fix_of(shard)
        for file, path in self.files(shard):
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
        return shard_pictures.pictures(self.paths(shard), self.class_names, self.encoding, fix_of(shard), most)

    def ungated_pictures(self, shard: Shard) -> Iterator[tuple[int, Image.Image]]:
        """Yield label and picture of the images that the client would have without the gate: as many as it has.

        They are the first ones of each class, in order of label and index, so equal to the shard of a run without one.
        """
        if shard.refused is None:
            return self.pictures(shard)
        both, names = (self.paths(shard), self.refused_paths(shard)), self.class_names
        return shard_pictures.ungated(*both, names, self.encoding, fix_of(shard), shard.counts, self.domains)

    def refused_pictures(self, shard: Shard, most: int | None = None) -> Iterator[tuple[int, Image.Image]]:
        """Yield label and picture of the images that the gate refused, as ``pictures`` does."""
        return shard_pictures.pictures(self.refused_paths(shard), self.class_names, self.encoding, fix_of(shard), most)

    @property
    def rows(self) -> int:
        """How many images the clients have."""
        return sum(shard.rows for shard in self.shards)

    @property
    def images(self) -> int:
        """How many images there are, with those that the gate refused."""
        return self.rows + sum(file.rows for shard in self.shards for file in shard.refused_files)

    def refusals(self) -> tuple[int, ...]:
        """Return how many drawn images of each class the gate refused, in order of label."""
        drawn = [shard.refused.drawn for shard in self.shards if shard.refused is not None]
        # Clients that share a lane share its refusals: the client that wants most has seen them all.
        of = sum if self.sharing == "own" else max
        counts = [of(column) for column in zip(*drawn, strict=True)] if drawn else [0] * len(self.pair_names)
        return tuple(pairs.by_class(np.array(counts, np.int64), len(self.class_names)).tolist())

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
        head["format"] = MARKED if self.marked else None if self.gate is None else FORMAT
        for name in ("prompt_names", "gate", "format", "domains", "domain_words"):
            if not head[name]:
                del head[name]
        lines = ",\n".join(f"    {_line(shard)}" for shard in self.shards)
        text = json.dumps(head, indent=2, sort_keys=True).removesuffix("\n}")
        atomic.write_text(self.place, f'{text},\n  "shards": [\n{lines}\n  ]\n}}\n')


def _line(shard: Shard) -> str:
    described = asdict(shard)
    if shard.refused is None:
        del described["refused"]
    return json.dumps(described)


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
    shards = manifest.shards
    if [shard.client for shard in shards] != list(range(len(shards))):
        return "clients missing or out of order"
    for kind, names, words in (
        ("class", manifest.class_names, manifest.prompt_names),
        ("domain", manifest.domains, manifest.domain_words),
    ):
        if not _distinct(names, words):
            return f"{kind} names that are not one for each {kind}"
    if any(len(shard.counts) != len(manifest.pair_names) or sum(shard.counts) != shard.rows for shard in shards):
        return "counts of images that do not add up"
    parts = [(shard.client, part) for shard in shards for part in (shard.files, shard.refused_files)]
    named = [(file.name, client, i) for client, files in parts for i, file in enumerate(files)]
    if any(name != file_name(client, part) for name, client, part in named):
        return "a file name that is not its client's, or leads out of the folder"
    if not manifest.marked and manifest.format != (PLAIN if manifest.gate is None else FORMAT):
        return f"format {manifest.format} {'without' if manifest.gate is None else 'with'} a gate"
    gated = [shard.refused is not None and shard.refused.adds_up(shard.counts) for shard in shards]
    added_up = all(gated) if manifest.gate is not None else all(shard.refused is None for shard in shards)
    return None if added_up else "numbers of refused images that do not add up"


def _distinct(names: Sequence[str], words: Sequence[str] | None) -> bool:
    """Return whether names, and the words for them if they are known, are one for each thing."""
    return all(len(set(texts)) == len(texts) == len(names) for texts in (names, names if words is None else words))


def fix_of(shard: Shard) -> str:
    """Return what to do about a shard that is not as it should be."""
    return f"run: gen-fedsd regenerate --client {shard.client}"


def file_name(client: int, part: int = 0) -> str:
    """Return the name of a client's shard, or of a further part of one that is too big for one file."""
    return f"client-{client:05}.part-{part:03}.parquet" if part else f"client-{client:05}.parquet"
