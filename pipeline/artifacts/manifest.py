"""The manifest: what shards exist. It is written last; training, verify and push read only what it names."""

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, ConfigDict, TypeAdapter, ValidationError
from pydantic_core import PydanticKnownError

from pipeline import atomic
from pipeline.artifacts import parquet
from pipeline.errors import ArtifactError

_REDO = "run: dvc repro generate"
_STRICT = ConfigDict(strict=True, extra="forbid")  # how the file is read: no value is converted, none ignored


def _unknown_key(_: object) -> Path:
    raise PydanticKnownError("unexpected_keyword_argument")


@dataclass(frozen=True)
class File:
    """One file of a shard."""

    __pydantic_config__ = _STRICT

    name: str
    rows: int
    bytes: int
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
    counts: tuple[int, ...]
    """Images of each label."""
    files: tuple[File, ...]
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
    sharing: str
    class_names: tuple[str, ...]
    shards: tuple[Shard, ...]
    place: Annotated[Path, BeforeValidator(_unknown_key)] = field(default=Path("data/manifest.json"), compare=False)
    """The manifest's own file; not written into it, and refused if the file contains it."""

    @property
    def folder(self) -> Path:
        """The folder of the shards, beside the manifest."""
        return self.place.with_name("shards")

    def paths(self, shard: Shard) -> list[Path]:
        """Return the places of a shard's files."""
        return [self.folder / file.name for file in shard.files]

    def check(self, shard: Shard) -> None:
        """Raise ArtifactError if a shard's file is not, byte for byte, the one that the manifest describes."""
        fix = f"run: gen-fedsd regenerate --client {shard.client}"
        for file, path in zip(shard.files, self.paths(shard), strict=True):
            if not path.is_file():
                raise ArtifactError("shard missing", path, fix)
            if path.stat().st_size != file.bytes or atomic.sha256(path) != file.sha256:
                raise ArtifactError("shard differs from the manifest", path, fix)
            header = parquet.read_header(path, "generate")
            if (header["recipe"], header["plan"]) != (self.recipe, shard.plan):
                raise ArtifactError("shard is of another recipe or plan than the manifest says", path, fix)

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
        lines = ",\n".join(f"    {json.dumps(asdict(shard))}" for shard in self.shards)
        text = json.dumps(head, indent=2, sort_keys=True).removesuffix("\n}")
        atomic.write_text(self.place, f'{text},\n  "shards": [\n{lines}\n  ]\n}}\n')


def load(path: Path) -> Manifest:
    """Read the manifest; raise ArtifactError if it is missing or damaged. The shards are not looked at."""
    if not path.is_file():
        raise ArtifactError("no such file", path, _REDO)
    try:
        manifest = TypeAdapter(Manifest).validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        what = ": ".join(filter(None, (".".join(map(str, first["loc"])), first["msg"])))
        raise ArtifactError(f"damaged ({what})", path, _REDO) from None
    if [shard.client for shard in manifest.shards] != list(range(len(manifest.shards))):
        raise ArtifactError("clients missing or out of order", path, _REDO)
    if any(
        len(shard.counts) != len(manifest.class_names) or sum(shard.counts) != shard.rows for shard in manifest.shards
    ):
        raise ArtifactError("counts of images that do not add up", path, _REDO)
    named = [(file.name, shard.client, i) for shard in manifest.shards for i, file in enumerate(shard.files)]
    if any(name != file_name(client, part) for name, client, part in named):
        raise ArtifactError("a file name that is not its client's, or leads out of the folder", path, _REDO)
    return replace(manifest, place=path)


def file_name(client: int, part: int = 0) -> str:
    """Return the name of a client's shard, or of a further part of one that is too big for one file."""
    return f"client-{client:05}.part-{part:03}.parquet" if part else f"client-{client:05}.parquet"
