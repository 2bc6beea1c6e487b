"""Stage ``generate``: plan, ask the pool, render what is missing, write the shards, and last the manifest."""

from pathlib import Path

from pipeline import paths, progress
from pipeline.artifacts.manifest import Manifest
from pipeline.errors import ArtifactError
from pipeline.generation import assemble, context
from pipeline.generation.fill import fill
from pipeline.generation.pool import Pool
from pipeline.params import Params


def run(params: Params, devices: list[str]) -> None:
    """Write one shard for each client, an empty one for a client that lacks nothing, and the manifest.

    Raises ArtifactError, before anything is rendered, if the shards' folder holds what no run put there.
    """
    if foreign := [path for path in _entries() if not _ours(path)]:
        fix = "move it elsewhere: DVC tracks the whole folder, which is for shards only"
        raise ArtifactError("not a shard", min(foreign), fix)
    plan, source = context.current(params, devices)
    # The pool's lock is held to the end: another run would take shards that are being written here for strays.
    with Pool(paths.pool()) as pool, pool.writing():
        made = fill(pool, plan, source, devices)
        written = []
        with progress.bar("shards", len(plan.missing), "clients") as advance:
            for client in range(len(plan.missing)):
                written.append(assemble.write(pool, plan, client, params.generate.shard_megabytes))
                advance()
        for stray in set(filter(_ours, _entries())) - {path for shard in written for path in shard.paths}:
            stray.unlink()
        recipe = plan.recipe
        manifest = Manifest(recipe.digest, recipe.as_dict(), plan.sharing, tuple(plan.class_names), tuple(written))
        manifest.save()
    progress.say(f"generate: {made} images rendered, {manifest.rows} in {len(written)} shards")


def _entries() -> list[Path]:
    return list(paths.SHARDS.iterdir()) if paths.SHARDS.exists() else []


def _ours(path: Path) -> bool:
    """Tell whether this is a shard's file, whole, half-written by a killed run, or a link into DVC's cache."""
    return path.name.startswith(("client-", ".client-")) and (path.is_symlink() or not path.is_dir())
