"""Command ``verify``: what is on disk against the manifest, and images against a second rendering."""

import itertools
import random
from dataclasses import dataclass

import numpy as np

from pipeline import progress
from pipeline.artifacts import manifest
from pipeline.artifacts.encoded import Encoding
from pipeline.artifacts.manifest import Manifest
from pipeline.artifacts.spec import ImageSpec
from pipeline.errors import ArtifactError
from pipeline.generation import checks, engines, lengths, request
from pipeline.generation.devices import resolve_dtype
from pipeline.generation.plan import batches
from pipeline.generation.pool import Receiver
from pipeline.params import Params
from pipeline.workspace import Workspace

_SHOWN = 10


@dataclass(frozen=True)
class Verified:
    """Shards that are all as the manifest says."""

    shards: int
    images: int
    refused: int = 0
    """Images that a gate refused, in files of their own."""


@dataclass(frozen=True)
class Rerendered:
    """Images that came out the same when they were rendered again."""

    images: int


def shards(workspace: Workspace) -> Verified:
    """Compare every shard with the manifest, each row and image included; raise ArtifactError naming those that differ.

    A row has its client's lane, a label and the name of its class that belong together, and the seed and prompt that
    the recipe gives; no image is there twice; the numbers of images by label are the manifest's. With a gate, each row
    has a score with which the gate puts it where it is, and what passed are the first images that it did not refuse.
    """
    known = manifest.load(workspace.manifest)
    receiver = Receiver(known, checks.recipe_of(known))
    problems: list[ArtifactError] = []
    with progress.bar("verify", len(known.shards), "shards") as advance:
        for shard in known.shards:
            try:
                known.check(shard)
                for _ in receiver.images(shard):
                    pass
            except ArtifactError as error:
                problems.append(error)
            advance()
    if problems:
        listed = "; ".join(f"{error.where}: {error.what}" for error in problems[:_SHOWN])
        more = f"; and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        what = f"{len(problems)} of {len(known.shards)} shards are not what the manifest says"
        raise ArtifactError(what, listed + more, problems[0].fix)
    there = {path for folder in (known.folder, known.refused_folder) if folder.is_dir() for path in folder.iterdir()}
    named = {path for shard in known.shards for _, path in known.files(shard)}
    if strays := there - named - {path.parent for path in named}:
        fix = "delete them, or run: dvc repro -f generate"
        raise ArtifactError("files that the manifest does not name", min(strays), fix)
    return Verified(len(known.shards), known.rows, known.images - known.rows)


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
                    largest = max(largest, _distance(known.encoding, image, stored[spec]))
    if differing:
        what = f"{differing} of {len(stored)} images are different now (by up to {largest} of 255 levels)"
        fix = "other hardware or library versions can change images; if these are the same, other code made the shards"
        raise ArtifactError(what, known.folder, fix)
    return Rerendered(len(stored))


def _samples(known: Manifest, count: int, seed: int) -> dict[ImageSpec, bytes]:
    """Return random rows of the shards as specs and stored images, refused ones too; equal seeds choose equal rows.

    Only the shards that they are in are read; these are checked like all of them are by ``shards``.
    """
    chosen = set(random.Random(seed).sample(range(known.images), min(count, known.images)))
    receiver = Receiver(known, checks.recipe_of(known))
    samples: dict[ImageSpec, bytes] = {}
    start = 0
    for shard in known.shards:
        rows = sum(file.rows for file, _ in known.files(shard))
        if not chosen.isdisjoint(range(start, start + rows)):
            known.check(shard)
            images = itertools.chain.from_iterable(receiver.images(shard))
            samples |= {one.spec: one.image for row, one in enumerate(images, start) if row in chosen}
        start += rows
    return samples


def _distance(encoding: Encoding, made: bytes | None, stored: bytes) -> int:
    if made is None:
        return 255
    a, b = (np.asarray(encoding.decode(image)).astype(int) for image in (made, stored))
    return int(np.abs(a - b).max())
