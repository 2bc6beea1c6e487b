"""What a publication consists of: its files and their places on the Hub, commit titles, and what a push changes."""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from huggingface_hub.hf_api import RepoFile

from pipeline import atomic
from pipeline.artifacts.manifest import REFUSED, Manifest, Shard

MANIFEST = "manifest.json"
CARD = "README.md"
SHEET = "contact-sheet.png"
PARAMS = "params.yaml"
BESIDE = (CARD, MANIFEST, SHEET, PARAMS)
"""The files beside those of the images."""
_FOLDER = 1_000
"""Clients in one folder; the Hub takes at most 10,000 files in each."""

_IMAGES = re.compile(
    r"(?:(?:data|refused)/\d{3,}/client-\d{5,}(?:\.part-\d{3,})?|data/class-\d{5}(?:\.part-\d{3,})?)\.parquet"
)
_CLIENT = re.compile(r"client-(\d{5,})")


@dataclass(frozen=True)
class Item:
    """One local file that should be on the Hub."""

    path: Path
    bytes: int
    sha256: str

    @classmethod
    def of(cls, path: Path) -> "Item":
        return cls(path, path.stat().st_size, atomic.sha256(path))

    def is_same(self, there: RepoFile) -> bool:
        """Return whether the Hub has these bytes."""
        if there.size != self.bytes:
            return False
        if there.lfs is not None:
            return bool(there.lfs.sha256 == self.sha256)
        return bool(there.blob_id == _git_blob(self.path.read_bytes()))


@dataclass(frozen=True)
class Wanted:
    """Everything that a push wants on the Hub."""

    files: dict[str, Item]
    """By place on the Hub."""
    title: str
    """Of the commit that makes the changes."""


@dataclass(frozen=True)
class Changes:
    """How the Hub differs from what it should hold."""

    upload: dict[str, Item]
    delete: list[str]
    unchanged: int

    def __bool__(self) -> bool:
        return bool(self.upload or self.delete)

    @property
    def bytes(self) -> int:
        """The size of what is uploaded."""
        return sum(item.bytes for item in self.upload.values())


def title(rows: int, clients: int) -> str:
    """Return the title of the commit of a whole publication by client."""
    return f"Publish {rows} images of {clients} clients"


def title_of_update(clients: Iterable[int]) -> str:
    """Return the title of the commit of some clients' shards."""
    return f"Update client {', '.join(map(str, clients))}"


def names_clients(title: str) -> bool:
    """Return whether a commit with this title contains files by client."""
    return re.fullmatch(r"Publish \d+ images of \d+ clients|Update client [\d, ]+", title) is not None


def place(name: str, folder: str = "data") -> str:
    """Return the place of a client's file on the Hub: in a folder of a thousand clients."""
    found = _CLIENT.match(name)
    assert found is not None
    return f"{folder}/{int(found[1]) // _FOLDER:03}/{name}"


def places(shard: Shard) -> list[str]:
    """Return the places of a client's files on the Hub; those of refused images are the last ones."""
    return [
        *(place(file.name) for file in shard.files),
        *(place(file.name, REFUSED) for file in shard.refused_files),
    ]


def chosen(known: Manifest, refused: bool) -> Manifest:
    """Return what is published of a manifest: without the files of refused images unless these are wanted."""
    if refused or known.gate is None:
        return known
    lines = (
        replace(shard, refused=replace(shard.refused, files=())) if shard.refused is not None else shard
        for shard in known.shards
    )
    return replace(known, shards=tuple(lines))


def of_shards(known: Manifest, shards: Iterable[Shard]) -> dict[str, Item]:
    """Return the files of these shards, as the manifest describes them, by their place on the Hub."""
    return {
        there: Item(path, file.bytes, file.sha256)
        for shard in shards
        for there, (file, path) in zip(places(shard), known.files(shard), strict=True)
    }


def is_image_file(path: str) -> bool:
    """Return whether push writes files of images at such a path."""
    return _IMAGES.fullmatch(path) is not None


def compare(wanted: Mapping[str, Item], there: Mapping[str, RepoFile], clients: Iterable[int] | None) -> Changes:
    """Return what to change.

    Deleted are only files of images that are not wanted any more, and with ``clients`` only those of these clients.
    """
    upload = {path: item for path, item in wanted.items() if path not in there or not item.is_same(there[path])}
    chosen = None if clients is None else set(clients)

    def stale(path: str) -> bool:
        found = _CLIENT.search(path)
        return chosen is None or (found is not None and int(found[1]) in chosen)

    delete = sorted(path for path in there if is_image_file(path) and path not in wanted and stale(path))
    return Changes(upload, delete, len(wanted) - len(upload))


def configs(known: Manifest, most: int) -> list[dict[str, object]]:
    """Return the card's configurations: ``default``, and for up to ``most`` clients one for each with images.

    If refused images are published, they have a configuration of their own.
    """

    def config(name: str, files: object) -> dict[str, object]:
        return {"config_name": name, "data_files": [{"split": "train", "path": files}]}

    found = [config("default", "data/*/client-*.parquet") | {"default": True}]
    if len(known.shards) <= most:
        found += [
            config(f"client-{shard.client:03}", [place(file.name) for file in shard.files])
            for shard in known.shards
            if shard.rows
        ]
    if any(shard.refused_files for shard in known.shards):
        found.append(config(REFUSED, f"{REFUSED}/*/client-*.parquet"))
    return found


def _git_blob(content: bytes) -> str:
    """Return git's name for a file's content, by which the Hub identifies small files."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
