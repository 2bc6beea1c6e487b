"""Fetch a publication, and check every byte against its manifest and every image against its recipe."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub.hf_api import RepoFile

from pipeline import atomic, progress
from pipeline.artifacts import shard_reader
from pipeline.artifacts.manifest import File, Manifest, Shard
from pipeline.errors import ArtifactError, HubError
from pipeline.generation import checks
from pipeline.generation.pool import Receiver, StoredImage
from pipeline.generation.recipe import Recipe
from pipeline.hub import publication, published
from pipeline.hub.api import Hub

_LARGEST_PARAMS = 2**20  # bytes
CHANGED = "the publication was changed; nothing was imported"


@dataclass(frozen=True)
class Publication:
    """What one commit of a repository publishes."""

    hub: Hub
    commit: str
    files: dict[str, RepoFile]
    """By path; sizes are those that the Hub states."""
    manifest: Manifest
    recipe: Recipe


def find(repo_id: str, revision: str | None) -> Publication:
    """Return what is published; raise HubError if there is no publication by client, or its recipe was edited."""
    hub = Hub(repo_id)
    if "/" not in repo_id:
        hub.log_in()
    remote = hub.snapshot(revision)
    if remote is None:
        fix = "check --repo-id; a private one needs a token that may read it"
        raise HubError("no such repository", hub.repo_id, fix)
    known = published.read_manifest(hub, remote)
    try:
        recipe = checks.recipe_of(known)
    except ArtifactError as error:
        raise HubError(error.what, hub.repo_id, error.fix) from None
    return Publication(hub, remote.commit, remote.files, known, recipe)


def params(found: Publication) -> str | None:
    """Return the params.yaml of a publication; None if it has none. Raises HubError if it is no text, or too large."""
    if publication.PARAMS not in found.files:
        return None
    place = found.hub.download(publication.PARAMS, found.commit, _LARGEST_PARAMS)
    try:
        return place.read_text(encoding="utf-8-sig")
    except ValueError:
        raise HubError("its params.yaml is no text", found.hub.repo_id, CHANGED) from None


def images(found: Publication) -> Iterator[list[StoredImage]]:
    """Yield all images of a publication, up to a thousand at a time.

    Files come from the Hub, or from its local cache if an earlier call fetched them. Raises HubError if a file is not
    the one that the manifest names, or a row is not an image that recipe and manifest describe.
    """
    known, receiver = found.manifest, Receiver(found.manifest, found.recipe)
    with progress.bar("fetching", known.images, "images") as advance:
        for shard in known.shards:
            files, places = (*shard.files, *shard.refused_files), publication.places(shard)
            paths = [_fetched(found, file, place) for file, place in zip(files, places, strict=True)]
            count = len(shard.files)
            try:
                _check_headers(found, shard, paths)
                for some in receiver.images(shard, paths[:count], paths[count:]):
                    yield some
                    advance(len(some))
            except ArtifactError as error:
                place = next(there for path, there in zip(paths, places, strict=True) if str(path) == error.where)
                raise HubError(f"{place} is {error.what}", found.hub.repo_id, CHANGED) from None


def _check_headers(found: Publication, shard: Shard, paths: list[Path]) -> None:
    """Raise ArtifactError if a file says that it is of another recipe, plan or client."""
    known = found.manifest
    for file, path in zip((*shard.files, *shard.refused_files), paths, strict=True):
        header = shard_reader.read_header(path, known.class_names, file.rows, CHANGED)
        if (header.client, header.recipe, header.plan) != (shard.client, known.recipe, shard.plan):
            raise ArtifactError("of another recipe or plan than the manifest says", path, CHANGED)


def _fetched(found: Publication, file: File, path: str) -> Path:
    """Return a file's local path; raise HubError unless it is, byte for byte, the one that the manifest names."""
    hub = found.hub
    what = f"{path} is not the file that the manifest names"
    there = found.files.get(path)
    if there is not None and there.size != file.bytes:
        raise HubError(f"{what}: it has {there.size:,} bytes, not {file.bytes:,}", hub.repo_id, CHANGED)
    for force in (False, True):  # the second time because only the local cache may be damaged
        local = hub.download(path, found.commit, file.bytes, force)
        if local.stat().st_size == file.bytes and atomic.sha256(local) == file.sha256:
            return local
    raise HubError(what, hub.repo_id, CHANGED)
