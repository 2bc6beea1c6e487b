"""Command ``verify``: what is on disk against the manifest, and images against a second rendering."""

import io
import random
from dataclasses import dataclass

import numpy as np
import pyarrow.parquet as pq
from PIL import Image

from pipeline.artifacts import manifest
from pipeline.artifacts import shards as artifact
from pipeline.artifacts.manifest import Manifest
from pipeline.artifacts.spec import ImageSpec
from pipeline.errors import ArtifactError
from pipeline.generation import engines, lengths, request
from pipeline.generation.devices import resolve_dtype
from pipeline.generation.plan import batches
from pipeline.params import Params
from pipeline.workspace import Workspace

_SHOWN = 10


@dataclass(frozen=True)
class Verified:
    """Shards that are all as the manifest says."""

    shards: int
    images: int


@dataclass(frozen=True)
class Rerendered:
    """Images that came out the same when they were rendered again."""

    images: int


def shards(workspace: Workspace) -> Verified:
    """Compare every shard with its line in the manifest; raise ArtifactError naming those that differ."""
    known = manifest.load(workspace.manifest)
    problems: list[ArtifactError] = []
    for shard in known.shards:
        try:
            known.check(shard)
        except ArtifactError as error:
            problems.append(error)
    if problems:
        listed = "; ".join(f"{error.where}: {error.what}" for error in problems[:_SHOWN])
        more = f"; and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        what = f"{len(problems)} of {len(known.shards)} shards are not what the manifest says"
        raise ArtifactError(what, listed + more, problems[0].fix)
    strays = set(known.folder.iterdir()) - {path for shard in known.shards for path in known.paths(shard)}
    if strays:
        fix = "delete them, or run: dvc repro -f generate"
        raise ArtifactError("files that the manifest does not name", min(strays), fix)
    return Verified(len(known.shards), known.rows)


def rerender(workspace: Workspace, params: Params, devices: list[str], count: int, seed: int) -> Rerendered:
    """Draw ``count`` random images of the shards again; raise ArtifactError if one is not byte for byte the same."""
    known = manifest.load(workspace.manifest)
    asked = request.current(workspace, params, resolve_dtype(params.generate.dtype, devices))
    asked.check_recipe(known)
    lengths.check(workspace, params.generate, asked)
    stored = _samples(known, count, seed)
    todo = list(batches(stored, asked.plan.recipe.batch_size))
    differing, largest = 0, 0
    with engines.make(asked.model, devices[: max(1, len(todo))]) as engine:
        for rendered in engine.render(todo):
            for spec, picture in zip(rendered.batch, rendered.pictures, strict=True):
                image = None if picture is None else picture.image
                if image != stored[spec]:
                    differing += 1
                    largest = max(largest, _distance(image, stored[spec]))
    if differing:
        what = f"{differing} of {len(stored)} images are different now (by up to {largest} of 255 levels)"
        fix = "other hardware or library versions can change images; if these are the same, other code made the shards"
        raise ArtifactError(what, known.folder, fix)
    return Rerendered(len(stored))


def _samples(known: Manifest, count: int, seed: int) -> dict[ImageSpec, bytes]:
    """Return random rows of the shards as specs and stored images; equal seeds choose equal rows."""
    chosen = sorted(random.Random(seed).sample(range(known.rows), min(count, known.rows)))
    samples: dict[ImageSpec, bytes] = {}
    start = 0
    for shard in known.shards:
        for file, path in zip(shard.files, known.paths(shard), strict=True):
            wanted = [row - start for row in chosen if start <= row < start + file.rows]
            start += file.rows
            if wanted:
                for row in pq.read_table(path).take(wanted).to_pylist():
                    samples[artifact.spec_of(row)] = row["image"]["bytes"]
    return samples


def _distance(made: bytes | None, stored: bytes) -> int:
    if made is None:
        return 255
    a, b = (np.asarray(Image.open(io.BytesIO(image))).astype(int) for image in (made, stored))
    return int(np.abs(a - b).max()) if a.shape == b.shape else 255
