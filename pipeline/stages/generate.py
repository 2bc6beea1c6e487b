"""Stage ``generate``: plan, ask the pool, render what is missing, write the shards, and last the manifest."""

from pipeline import paths, progress
from pipeline.artifacts.manifest import Manifest
from pipeline.generation import assemble, context
from pipeline.generation.fill import fill
from pipeline.generation.pool import Pool
from pipeline.params import Params


def run(params: Params, devices: list[str]) -> None:
    """Write one shard for each client, an empty one for a client that lacks nothing, and the manifest."""
    plan, source = context.current(params, devices)
    with Pool(paths.pool()) as pool:
        made = fill(pool, plan, source, devices)
        written = []
        with progress.bar("shards", len(plan.missing), "clients") as advance:
            for client in range(len(plan.missing)):
                written.append(assemble.write(pool, plan, client, params.generate.shard_megabytes))
                advance()
    for stray in set(paths.SHARDS.iterdir()) - {path for shard in written for path in shard.paths}:
        stray.unlink()
    recipe = plan.recipe
    manifest = Manifest(recipe.digest, recipe.as_dict(), plan.sharing, tuple(plan.class_names), tuple(written))
    manifest.save()
    progress.say(f"generate: {made} images rendered, {manifest.rows} in {len(written)} shards")
