"""Stage ``generate``: plan, ask the pool, render what is missing, write the shards, and last the manifest."""

from pathlib import Path

from pipeline import ledger, progress
from pipeline.artifacts.manifest import REFUSED, Manifest
from pipeline.errors import ArtifactError
from pipeline.generation import assemble, gate, lengths, request
from pipeline.generation.devices import record_dtype, resolve_dtype
from pipeline.generation.pool import Pool
from pipeline.generation.render import render_missing
from pipeline.params import Params
from pipeline.workspace import Workspace


@ledger.accounted("generate", lambda given: given["devices"], reported=True)
def run(workspace: Workspace, params: Params, devices: list[str]) -> None:
    """Write one shard for each client, an empty one for a client that lacks nothing, and the manifest.

    ``devices`` has a name for each worker. Raises ArtifactError, before anything is rendered, if the shards'
    folder contains what no run put there.
    """
    folder = workspace.shards
    if foreign := [path for path in _entries(folder) if not _ours(path)]:
        fix = "move it elsewhere: DVC tracks the whole folder, which is for shards only"
        raise ArtifactError("not a shard", min(foreign), fix)
    dtype = resolve_dtype(params.generate.dtype, devices)
    asked = request.current(workspace, params, dtype, devices[0])
    lengths.check(workspace, params.generate, asked)
    if params.generate.dtype == "auto":
        record_dtype(workspace, dtype)
    # The pool's lock is held to the end: another run would take shards that are being written here for strays.
    with Pool(workspace.pool) as pool, pool.writing():
        made = render_missing(pool, asked, devices)
        plan, count = gate.settled(pool, asked.plan)
        written = []
        with progress.bar("shards", len(plan.missing), "clients") as advance:
            for client in range(len(plan.missing)):
                written.append(assemble.write(pool, plan, client, folder, params.generate.shard_megabytes))
                advance()
        names, shards = tuple(plan.class_names), tuple(written)
        text, words, recipe = plan.recipe.as_dict(), tuple(plan.prompt_names), plan.recipe.digest
        manifest = Manifest(recipe, text, plan.sharing, names, shards, workspace.manifest, words, plan.gate)
        known = {path for shard in shards for _, path in manifest.files(shard)}
        for stray in set(filter(_ours, _entries(folder))) - known:
            stray.unlink()
        if not _entries(manifest.refused_folder) and manifest.refused_folder.is_dir():
            manifest.refused_folder.rmdir()
        manifest.save()
    if plan.gate is not None:
        progress.say(f"gate ({plan.gate.name}): {count.text(plan.class_names)}")
    progress.say(f"generate: {made} images rendered, {manifest.rows} in {len(shards)} shards")


def _entries(folder: Path) -> list[Path]:
    """Return what is in the shards' folder, and in that of refused images in it, which is itself left out."""
    if not folder.exists():
        return []
    found, refused = list(folder.iterdir()), folder / REFUSED
    if not refused.is_dir() or refused.is_symlink():
        return found
    return [*(path for path in found if path != refused), *refused.iterdir()]


def _ours(path: Path) -> bool:
    """Return whether this is a shard's file: whole, half-written by a killed run, or a link into DVC's cache."""
    return path.name.startswith(("client-", ".client-")) and (path.is_symlink() or not path.is_dir())
