"""The manifest: what shards exist. It is written last, and is all that training, verify and push go by."""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self

from pydantic import ConfigDict, TypeAdapter, ValidationError

from pipeline import atomic, paths
from pipeline.artifacts import parquet
from pipeline.errors import ArtifactError

_REDO = "run: dvc repro generate"
_STRICT = ConfigDict(strict=True, extra="forbid")  # how the file is read: no value is converted, none ignored


@dataclass(frozen=True)
class File:
    """One file of a shard."""

    __pydantic_config__ = _STRICT

    name: str
    rows: int
    bytes: int
    sha256: str

    @property
    def path(self) -> Path:
        return paths.SHARDS / self.name

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

    @property
    def paths(self) -> list[Path]:
        return [file.path for file in self.files]

    def check(self, recipe: str) -> None:
        """Raise ArtifactError if a file is not, byte for byte, the one that this line describes."""
        fix = f"run: gen-fedsd regenerate --client {self.client}"
        for file in self.files:
            if not file.path.is_file():
                raise ArtifactError("shard missing", file.path, fix)
            if file.path.stat().st_size != file.bytes or atomic.sha256(file.path) != file.sha256:
                raise ArtifactError("shard differs from the manifest", file.path, fix)
            header = parquet.read_header(file.path, "generate")
            if (header["recipe"], header["plan"]) != (recipe, self.plan):
                raise ArtifactError("shard is of another recipe or plan than the manifest says", file.path, fix)


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

    @property
    def rows(self) -> int:
        return sum(shard.rows for shard in self.shards)

    def shard(self, client: int) -> Shard:
        """Return a client's line; raise ArtifactError if there is no such client."""
        if not 0 <= client < len(self.shards):
            raise ArtifactError(f"no client {client}", paths.MANIFEST, f"clients are 0 to {len(self.shards) - 1}")
        return self.shards[client]

    def with_shard(self, shard: Shard) -> "Manifest":
        """Return a copy in which one client's line is replaced."""
        shards = tuple(shard if old.client == shard.client else old for old in self.shards)
        return replace(self, shards=shards)

    def save(self, path: Path = paths.MANIFEST) -> None:
        head = {name: value for name, value in asdict(self).items() if name != "shards"}
        lines = ",\n".join(f"    {json.dumps(asdict(shard))}" for shard in self.shards)
        text = json.dumps(head, indent=2, sort_keys=True).removesuffix("\n}")
        atomic.write_text(path, f'{text},\n  "shards": [\n{lines}\n  ]\n}}\n')


def load(path: Path = paths.MANIFEST) -> Manifest:
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
    if any(name != paths.shard(client, part).name for name, client, part in named):
        raise ArtifactError("a file name that is not its client's, or leads out of the folder", path, _REDO)
    return manifest
