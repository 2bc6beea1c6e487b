"""Projects with deficits, a pool and shards that no model drew, for the tests of commands."""

from typing import Any

import numpy as np

from pipeline import params
from pipeline.artifacts.deficits import Deficits
from pipeline.artifacts.manifest import Manifest
from pipeline.artifacts.partition import Partition, Source
from pipeline.generation import assemble, request
from pipeline.generation.plan import Plan, Wanted
from pipeline.generation.pool import Pool, StoredImage
from pipeline.params import Params
from pipeline.workspace import Workspace
from tests.synthetic import png

NAMES = ("ankle boot", "bag", "coat")
IMAGE_BYTES = len(png(0))
"""Of each image: their pixels are random, so that they cannot be compressed."""


def lacking(workspace: Workspace, *missing: list[int], words: tuple[str, ...] = NAMES) -> None:
    """Write deficits, and a partition of 16-pixel images."""
    counts = np.array(missing)
    Deficits(counts * 0, counts, counts, counts * 0, NAMES, words).save(workspace.deficits)
    none = np.array([], np.int64)
    Partition(
        rows=none,
        clients=none.astype(np.int32),
        labels=none.astype(np.int32),
        class_names=NAMES,
        client_count=len(counts),
        image_size=16,
        fingerprint="abc",
        source=Source("array", 0),
        mean=(0.0,) * 3,
        std=(1.0,) * 3,
    ).save(workspace.partition)


def current(workspace: Workspace, **changes: Any) -> tuple[Params, Plan]:
    """Return the parameters on disk with changes to ``generate``, and their plan."""
    read = params.load(workspace.params)
    read = read.model_copy(update={"generate": read.generate.model_copy(update=changes)})
    return read, request.current(workspace, read, "float32").plan


def stock(pool: Pool, plan: Plan, *wanted: Wanted) -> None:
    """Put a picture into the pool for every image of a plan, or for those that are wanted."""
    missing = pool.missing(plan.recipe, wanted or plan.wanted())
    pool.put(plan.recipe, [StoredImage(spec, png(0)) for spec in missing])


def written(workspace: Workspace, pool: Pool, plan: Plan, megabytes: int) -> Manifest:
    """Write all shards of a plan, and their manifest."""
    clients = range(len(plan.missing))
    lines = tuple(assemble.write(pool, plan, client, workspace.shards, megabytes) for client in clients)
    names, recipe = tuple(plan.class_names), plan.recipe
    made = Manifest(
        recipe.digest, recipe.as_dict(), plan.sharing, names, lines, workspace.manifest, tuple(plan.prompt_names)
    )
    made.save()
    return made
