"""Fetch a publication: check every byte against its manifest, and put the images into the pool."""

import io
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from pipeline import atomic, paths, progress
from pipeline.artifacts import parquet, shards
from pipeline.artifacts.manifest import File, Manifest, Shard
from pipeline.errors import ArtifactError, HubError, PipelineError, PoolError
from pipeline.generation import care, source
from pipeline.generation.pool import Finished, Pool
from pipeline.generation.recipe import ImageSpec, Recipe
from pipeline.hub import publication
from pipeline.hub.api import Hub
from pipeline.hub.push import published
from pipeline.params import Params

_ROWS = 1_000
_CHANGED = "the publication was changed; nothing was taken over"
_SPEC = ("lane", "class_name", "index", "prompt", "negative_prompt", "guidance", "seed", "retry")


def pull(repo_id: str, revision: str | None, params: Params, devices: list[str]) -> str:
    """Put the images of a publication into the pool, all or none; say whether the parameters ask for its recipe.

    Files come from the Hub, or from its local cache where they lie since an earlier call.

    Raises HubError if a file is not the one that the manifest names, or an image not one that the recipe gives.
    """
    hub = Hub(repo_id)
    if "/" not in repo_id:
        hub.log_in()
        repo_id = hub.repo_id
    remote = hub.look(revision)
    if remote is None:
        raise HubError("no such repository", repo_id, "check --repo-id; a private one needs a token that may read it")
    known = published(hub, remote)
    recipe = _recipe(known, repo_id)
    with Pool(paths.pool()) as pool, TemporaryDirectory(dir=paths.cache(), prefix=".pull-") as folder:
        place = Path(folder) / "pulled.sqlite"
        with Pool(place) as fetched, progress.bar("fetching", known.rows, "images") as advance:
            for shard in known.shards:
                for file in shard.files:
                    local = _fetched(hub, remote.commit, known, shard, file)
                    for images in _images(local, known, recipe, shard, file, repo_id):
                        fetched.put(recipe, images)
                    advance(file.rows)
        try:
            new, _ = care.take_over(pool, place)
        except PoolError as error:
            if error.where != str(place):
                raise
            raise HubError(error.what, repo_id, _CHANGED) from None
    return (
        f"{repo_id} at {remote.commit[:12]}: {known.rows} images of {len(known.shards)} clients, "
        f"recipe {known.recipe}, all as its manifest says; {new} are new in {paths.pool()}\n"
        f"{_compared(recipe, params, devices)}"
    )


def _compared(recipe: Recipe, params: Params, devices: list[str]) -> str:
    """Say whether the parameters here ask for these images."""
    try:
        mine = source.resolve(params.generate, params.seed, recipe.image_size, devices).recipe
    except PipelineError as error:
        return f"params.yaml asks for a model that is not here ({error.what})"
    if mine.digest == recipe.digest:
        return "params.yaml asks for this recipe: what the plan wants of these images will not be rendered again"
    theirs = recipe.as_dict()
    changed = ", ".join(name for name, value in mine.as_dict().items() if theirs.get(name) != value)
    return f"params.yaml asks for another recipe, so these images will not be used: it differs in {changed}"


def _recipe(known: Manifest, repo_id: str) -> Recipe:
    try:
        recipe = Recipe.from_dict(known.recipe_text)
        if recipe.digest == known.recipe:
            return recipe
    except (KeyError, TypeError, ValueError, AttributeError):
        pass
    fix = "it was edited, or published by another version of gen-fedsd"
    raise HubError(f"the manifest's recipe does not have the digest {known.recipe}", repo_id, fix)


def _fetched(hub: Hub, commit: str, known: Manifest, shard: Shard, file: File) -> Path:
    """Return a file's local place; raise HubError unless it is, byte for byte, the one that the manifest names."""
    path = publication.place(file.name)
    for anew in (False, True):  # again if only the local cache was damaged
        local = hub.download(path, commit, anew)
        if local.stat().st_size == file.bytes and atomic.sha256(local) == file.sha256:
            break
    else:
        raise HubError(f"{path} is not the file that the manifest names", hub.repo_id, _CHANGED)
    try:
        header = parquet.read_header(local, "generate")
    except ArtifactError as error:
        raise HubError(f"{path}: {error.what}", hub.repo_id, _CHANGED) from None
    if (header.get("recipe"), header.get("plan")) != (known.recipe, shard.plan):
        what = f"{path} is of another recipe or plan than the manifest says"
        raise HubError(what, hub.repo_id, _CHANGED)
    return local


def _images(
    local: Path, known: Manifest, recipe: Recipe, shard: Shard, file: File, repo_id: str
) -> Iterator[list[Finished]]:
    """Yield the rows of a file as finished images; raise HubError if they are not what a shard holds."""
    path = publication.place(file.name)
    try:
        with pq.ParquetFile(local) as opened:
            if opened.metadata.num_rows != file.rows:
                raise HubError(f"{path} has {opened.metadata.num_rows} rows, not {file.rows}", repo_id, _CHANGED)
            if not opened.schema_arrow.equals(shards.schema(known.class_names)):
                raise ValueError("other columns")
            for batch in opened.iter_batches(_ROWS):
                if any(column.null_count for column in batch.columns):
                    raise ValueError("an empty value")
                yield [_finished(row, shard.client, recipe) for row in batch.to_pylist()]
    except (pa.ArrowException, OSError, ValueError) as error:
        raise HubError(f"{path} is no shard ({error})", repo_id, _CHANGED) from None


def _finished(row: dict[str, Any], client: int, recipe: Recipe) -> Finished:
    """Return a row as a finished image; raise ValueError if it is none that the recipe could give."""
    image, index = row["image"]["bytes"], row["index"]
    if row["client"] != client:
        raise ValueError(f"a row of client {row['client']}")
    try:
        with Image.open(io.BytesIO(image or b""), formats=[recipe.image_format]) as opened:
            if opened.size == (recipe.image_size, recipe.image_size):  # known before the rest is decoded
                opened.load()
                return Finished(ImageSpec(*(row[name] for name in _SPEC)), image, row["flags"])
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"image {index} of {row['class_name']!r}: {error}") from None
    raise ValueError(f"image {index} of {row['class_name']!r} measures {opened.size}")
