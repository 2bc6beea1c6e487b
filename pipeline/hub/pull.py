"""Fetch a publication, and check every byte against its manifest and every image against its recipe."""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from pipeline import atomic, progress
from pipeline.artifacts import parquet, shards
from pipeline.artifacts.manifest import File, Manifest, Shard
from pipeline.errors import ArtifactError, HubError
from pipeline.generation.pool import Pool, StoredImage
from pipeline.generation.recipe import Recipe
from pipeline.hub import publication, published
from pipeline.hub.api import Hub

_ROWS = 1_000
CHANGED = "the publication was changed; nothing was imported"


@dataclass(frozen=True)
class Publication:
    """What one commit of a repository publishes."""

    hub: Hub
    commit: str
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
    return Publication(hub, remote.commit, known, _recipe(known, hub.repo_id))


def fetch(found: Publication, pool: Pool) -> None:
    """Put all images of a publication into an empty pool.

    Files come from the Hub, or from its local cache if an earlier call fetched them. Raises HubError if a file is not
    the one that the manifest names, or a row is not an image that the recipe can give.
    """
    with progress.bar("fetching", found.manifest.rows, "images") as advance:
        for shard in found.manifest.shards:
            for file in shard.files:
                path = _fetched(found, shard, file)
                for images in _images(found, shard, file, path):
                    pool.put(found.recipe, images)
                advance(file.rows)


def _recipe(known: Manifest, repo_id: str) -> Recipe:
    try:
        recipe = Recipe.from_dict(known.recipe_text)
        if recipe.digest == known.recipe:
            return recipe
    except (KeyError, TypeError, ValueError, AttributeError):
        pass
    fix = "it was edited, or published by another version of gen-fedsd"
    raise HubError(f"the manifest's recipe does not have the digest {known.recipe}", repo_id, fix)


def _fetched(found: Publication, shard: Shard, file: File) -> Path:
    """Return a file's local path; raise HubError unless it is, byte for byte, the one that the manifest names."""
    path, hub = publication.place(file.name), found.hub
    for force in (False, True):  # the second time because only the local cache may be damaged
        local = hub.download(path, found.commit, force)
        if local.stat().st_size == file.bytes and atomic.sha256(local) == file.sha256:
            break
    else:
        raise HubError(f"{path} is not the file that the manifest names", hub.repo_id, CHANGED)
    try:
        header = parquet.read_header(local, "generate")
    except ArtifactError as error:
        raise HubError(f"{path}: {error.what}", hub.repo_id, CHANGED) from None
    if (header.get("recipe"), header.get("plan")) != (found.manifest.recipe, shard.plan):
        what = f"{path} has another recipe or plan than the manifest says"
        raise HubError(what, hub.repo_id, CHANGED)
    return local


def _images(found: Publication, shard: Shard, file: File, local: Path) -> Iterator[list[StoredImage]]:
    """Yield the rows of a file as images, some at a time; raise HubError if it is not a shard of this recipe."""
    path, repo_id = publication.place(file.name), found.hub.repo_id
    try:
        with pq.ParquetFile(local) as opened:
            if opened.metadata.num_rows != file.rows:
                raise HubError(f"{path} has {opened.metadata.num_rows} rows, not {file.rows}", repo_id, CHANGED)
            if not opened.schema_arrow.equals(shards.schema(found.manifest.class_names)):
                raise ValueError("other columns")
            for batch in opened.iter_batches(_ROWS):
                if any(column.null_count for column in batch.columns):
                    raise ValueError("an empty value")
                yield [_image(row, shard.client, found.recipe) for row in batch.to_pylist()]
    except (pa.ArrowException, OSError, ValueError) as error:
        raise HubError(f"{path} is not a shard ({error})", repo_id, CHANGED) from None


def _image(row: dict[str, Any], client: int, recipe: Recipe) -> StoredImage:
    """Return a row as an image for the pool; raise ValueError if the recipe cannot give it."""
    image, index = row["image"]["bytes"], row["index"]
    if row["client"] != client:
        raise ValueError(f"a row of client {row['client']}")
    try:
        with Image.open(io.BytesIO(image or b""), formats=[recipe.image_format]) as opened:
            if opened.size == (recipe.image_size, recipe.image_size):  # known before the pixels are decoded
                opened.load()
                return StoredImage(shards.spec_of(row), image, row["flags"])
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"image {index} of {row['class_name']!r}: {error}") from None
    raise ValueError(f"image {index} of {row['class_name']!r} measures {opened.size}")
