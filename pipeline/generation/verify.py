"""Check what is on disk against the manifest, and images against a second rendering."""

import io
import random

import numpy as np
import pyarrow.parquet as pq
from PIL import Image

from pipeline import paths
from pipeline.artifacts import manifest
from pipeline.artifacts.manifest import Manifest
from pipeline.errors import ArtifactError
from pipeline.generation import context, engines
from pipeline.generation.plan import batches
from pipeline.generation.recipe import ImageSpec
from pipeline.params import Params


def shards() -> str:
    """Compare every shard with its line in the manifest; raise ArtifactError naming all that differ."""
    known = manifest.load()
    problems: list[ArtifactError] = []
    for shard in known.shards:
        try:
            shard.check(known.recipe)
        except ArtifactError as error:
            problems.append(error)
    if problems:
        listed = "; ".join(f"{error.where}: {error.what}" for error in problems[:10])
        more = f"; and {len(problems) - 10} more" if len(problems) > 10 else ""
        what = f"{len(problems)} of {len(known.shards)} shards are not what the manifest says"
        raise ArtifactError(what, listed + more, problems[0].fix)
    strays = set(paths.SHARDS.iterdir()) - {path for shard in known.shards for path in shard.paths}
    if strays:
        raise ArtifactError(
            "files that the manifest does not know", min(strays), "delete them, or run: dvc repro -f generate"
        )
    return f"{len(known.shards)} shards, {known.rows} images: all as the manifest says"


def rerender(params: Params, devices: list[str], count: int, seed: int) -> str:
    """Draw ``count`` random images of the shards again; raise ArtifactError if one is not byte for byte the same."""
    known = manifest.load()
    plan, source = context.current(params, devices)
    if known.recipe != plan.recipe.digest:
        where = f"{paths.MANIFEST}, recipe {known.recipe}, now {plan.recipe.digest}"
        raise ArtifactError("the shards were made by another recipe", where, "run: dvc repro generate")
    stored = _samples(known, count, seed)
    todo = list(batches(stored, source.recipe.batch_size))
    differing, largest = 0, 0
    with engines.make(source, devices[: max(1, len(todo))]) as engine:
        for batch, pictures, _ in engine.render(todo):
            for spec, picture in zip(batch, pictures, strict=True):
                image = None if picture is None else picture.image
                if image != stored[spec]:
                    differing += 1
                    largest = max(largest, _distance(image, stored[spec]))
    if differing:
        what = f"{differing} of {len(stored)} images came out otherwise (by up to {largest} of 255 levels)"
        fix = (
            "expected on other hardware or other library versions; here it means the shards were not made by this code"
        )
        raise ArtifactError(what, paths.SHARDS, fix)
    return f"{len(stored)} random images rendered again: byte for byte the same"


def _samples(known: Manifest, count: int, seed: int) -> dict[ImageSpec, bytes]:
    """Return random rows of the shards as specs and stored images; equal seeds choose equal rows."""
    chosen = sorted(random.Random(seed).sample(range(known.rows), min(count, known.rows)))
    names = ("lane", "class_name", "index", "prompt", "negative_prompt", "guidance", "seed", "retry")
    samples: dict[ImageSpec, bytes] = {}
    start = 0
    for file in (file for shard in known.shards for file in shard.files):
        wanted = [row - start for row in chosen if start <= row < start + file.rows]
        start += file.rows
        if wanted:
            for row in pq.read_table(file.path).take(wanted).to_pylist():
                samples[ImageSpec(*(row[name] for name in names))] = row["image"]["bytes"]
    return samples


def _distance(made: bytes | None, stored: bytes) -> int:
    if made is None:
        return 255
    a, b = (np.asarray(Image.open(io.BytesIO(image))).astype(int) for image in (made, stored))
    return int(np.abs(a - b).max()) if a.shape == b.shape else 255
