"""What a publication consists of: the files of the shards, the manifest, and which of ours are stale on the Hub."""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub.hf_api import RepoFile

from pipeline import atomic
from pipeline.artifacts.manifest import Manifest, Shard

MANIFEST = "manifest.json"
CARD = "README.md"
SHEET = "contact-sheet.png"
BESIDE = (CARD, MANIFEST, SHEET)
"""What lies beside the images."""
_FOLDER = 1_000
"""Clients in one folder; the Hub takes at most 10,000 files in each."""

_OURS = re.compile(r"data/(?:\d{3,}/client-\d{5,}(?:\.part-\d{3,})?|class-\d{5}(?:\.part-\d{3,})?)\.parquet")
_CLIENT = re.compile(r"client-(\d{5,})")


@dataclass(frozen=True)
class Item:
    """One local file that is to be on the Hub."""

    path: Path
    bytes: int
    sha256: str

    @classmethod
    def of(cls, path: Path) -> "Item":
        return cls(path, path.stat().st_size, atomic.sha256(path))

    def is_same(self, there: RepoFile) -> bool:
        """Tell whether the Hub has these bytes."""
        if there.size != self.bytes:
            return False
        if there.lfs is not None:
            return bool(there.lfs.sha256 == self.sha256)
        return bool(there.blob_id == _git_blob(self.path.read_bytes()))


def title(rows: int, clients: int) -> str:
    """Return what the commit of a whole client-wise publication is called."""
    return f"Publish {rows} images of {clients} clients"


def title_of_update(clients: Iterable[int]) -> str:
    """Return what the commit of some clients' shards is called."""
    return f"Update client {', '.join(map(str, clients))}"


def tells_of_clients(found: str) -> bool:
    """Tell whether a commit with this title has client-wise files."""
    return re.fullmatch(r"Publish \d+ images of \d+ clients|Update client [\d, ]+", found) is not None


@dataclass(frozen=True)
class Changes:
    """How the Hub differs from what it should hold."""

    upload: dict[str, Item]
    delete: list[str]
    unchanged: int

    def __bool__(self) -> bool:
        return bool(self.upload or self.delete)

    def describe(self) -> str:
        size = sum(item.bytes for item in self.upload.values()) / 1e6
        return (
            f"{len(self.upload)} files to upload ({size:.1f} MB), {len(self.delete)} to delete, "
            f"{self.unchanged} there already"
        )


def place(name: str) -> str:
    """Return where a shard's file goes: in a folder of its thousand clients."""
    found = _CLIENT.match(name)
    assert found is not None
    return f"data/{int(found[1]) // _FOLDER:03}/{name}"


def of_shards(shards: Iterable[Shard]) -> dict[str, Item]:
    """Return the files of these shards, as the manifest describes them, by their place on the Hub."""
    return {place(f.name): Item(f.path, f.bytes, f.sha256) for shard in shards for f in shard.files}


def is_ours(path: str) -> bool:
    """Tell whether push puts files at such a path."""
    return _OURS.fullmatch(path) is not None


def compare(wanted: Mapping[str, Item], there: Mapping[str, RepoFile], clients: Iterable[int] | None) -> Changes:
    """Return what to change; deleted are only unwanted files of our own, and with ``clients`` only theirs."""
    upload = {path: item for path, item in wanted.items() if path not in there or not item.is_same(there[path])}
    chosen = None if clients is None else set(clients)

    def stale(path: str) -> bool:
        found = _CLIENT.search(path)
        return chosen is None or (found is not None and int(found[1]) in chosen)

    delete = sorted(path for path in there if is_ours(path) and path not in wanted and stale(path))
    return Changes(upload, delete, len(wanted) - len(upload))


def configs(known: Manifest, most: int) -> list[dict[str, object]]:
    """Return the card's configurations: ``default``, and up to ``most`` clients that have images one each."""

    def config(name: str, files: object) -> dict[str, object]:
        return {"config_name": name, "data_files": [{"split": "train", "path": files}]}

    found = [config("default", "data/*/client-*.parquet") | {"default": True}]
    if len(known.shards) <= most:
        found += [
            config(f"client-{shard.client:03}", [place(file.name) for file in shard.files])
            for shard in known.shards
            if shard.rows
        ]
    return found


def _git_blob(content: bytes) -> str:
    """Return git's name for a file's content, by which the Hub knows files that are not large."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
