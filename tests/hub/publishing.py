"""What the tests of publications share: the commands and what they print, the published files, changed shards."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import yaml

from pipeline import params
from pipeline.artifacts import manifest
from pipeline.artifacts.manifest import File, Manifest
from pipeline.cli.hub import pulled_text, pushed_text
from pipeline.commands import pull as pull_command
from pipeline.commands import push as push_command
from pipeline.hub.options import PushOptions
from pipeline.params import Params
from pipeline.stages import deficits, generate, partition
from pipeline.workspace import Workspace
from tests.hub.server import Hub

REPO, TOKEN = "ada/fill", "hf_0123456789abcdef"
ALL = PushOptions(REPO)
ANONYMOUS = PushOptions(REPO, anonymous=True)
FILES = {f"data/000/client-{client:05}.parquet" for client in range(4)}
BESIDE = {"README.md", "manifest.json", "contact-sheet.png", "params.yaml"}
SENDING = ("create", "preupload", "lfs-batch", "lfs-put", "lfs-verify", "commit", "validate-yaml", "tag")


def generate_project(place: Path, document: dict[str, Any]) -> Workspace:
    """Write the shards of a project in ``place``, beside its cache."""
    made = Workspace(place / "project", place / "cache")
    made.root.mkdir()
    made.params.write_text(yaml.safe_dump(document))
    loaded = params.load(made.params)
    partition.run(made, loaded)
    deficits.run(made, loaded)
    generate.run(made, loaded, ["cpu"])
    return made


def push(options: PushOptions) -> str:
    """Publish what is in the working folder; return what the command prints."""
    workspace = Workspace()
    return pushed_text(push_command.push(workspace, params.load(workspace.params), options))


def pull(revision: str | None = None, repo_id: str = REPO, asked: Params | None = None) -> str:
    """Fetch a publication into the pool of the working folder; return what the command prints."""
    workspace = Workspace()
    return pulled_text(pull_command.pull(workspace, asked or params.load(workspace.params), repo_id, revision))


def read_manifest() -> Manifest:
    """The manifest in the working folder."""
    return manifest.load(Workspace().manifest)


def shard_path(client: int) -> Path:
    """The first file of a client's shard in the working folder."""
    return Workspace().shards / manifest.file_name(client)


def sent(hub: Hub) -> int:
    """Bytes of large files and of commits that came in."""
    return sum(seen.size for seen in hub.requests if seen.route in ("lfs-put", "commit"))


def rewrite(client: int, rows: slice) -> None:
    """Keep some rows of a client's shard, in one file, and its entry in the manifest true."""
    known = read_manifest()
    paths = known.paths(known.shard(client))
    table = pq.read_table(paths[0])[rows]
    with pq.ParquetWriter(paths[0], table.schema) as writer:
        if len(table):
            writer.write_table(table)
    _describe(known, client, table["label"].to_pylist(), [File.of(paths[0], len(table))])


def split(client: int, sizes: Sequence[int]) -> None:
    """Write a client's shard as files of so many rows, and keep its entry in the manifest true."""
    known = read_manifest()
    (path,) = known.paths(known.shard(client))
    table = pq.read_table(path)
    assert len(table) == sum(sizes)
    files, start = list[File](), 0
    for part, size in enumerate(sizes):
        place = known.folder / manifest.file_name(client, part)
        pq.write_table(table[start : start + size], place)
        files.append(File.of(place, size))
        start += size
    _describe(known, client, table["label"].to_pylist(), files)


def _describe(known: Manifest, client: int, labels: list[int], files: list[File]) -> None:
    counts = tuple(labels.count(label) for label in range(len(known.class_names)))
    known.with_shard(replace(known.shard(client), counts=counts, files=tuple(files))).save()


def contents(project: Path) -> dict[Path, bytes]:
    """Return every file of a project but its ledger, in which a push adds what it sent."""
    kept = (path for path in project.rglob("*") if path.is_file() and path.name != "ledger.jsonl")
    return {path: path.read_bytes() for path in kept}
