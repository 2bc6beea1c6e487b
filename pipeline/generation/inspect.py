"""Look after synthetic images between runs: what is planned and there, and one client's shard written again."""

import json
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

from pipeline import paths
from pipeline.artifacts import manifest
from pipeline.artifacts.manifest import Manifest
from pipeline.errors import ArtifactError
from pipeline.generation import assemble, context
from pipeline.generation.fill import again, fill
from pipeline.generation.plan import Plan
from pipeline.generation.pool import Pool
from pipeline.generation.source import Source
from pipeline.params import Params


def status(params: Params, devices: list[str]) -> str:
    """Return a table of what each client's plan wants, what the pool holds of it and what is missing, and the cost."""
    plan, source = context.current(params, devices)
    lines = [f"{'client':>6} {'planned':>8} {'in pool':>8} {'missing':>8}"]
    with Pool(paths.pool()) as pool:
        held = {(want.lane, want.class_name): flags for want, flags in pool.held(plan.recipe, plan.distinct())}
        for client, planned in enumerate(plan.missing.sum(axis=1).tolist()):
            wants = plan.of(client)
            lacks = sum(held[want.lane, want.class_name].count(0, 0, want.count) for want in wants)
            lines.append(f"{client:>6} {planned:>8} {planned - lacks:>8} {lacks:>8}")
        lines.append(_cost(pool, plan, source))
    return "\n".join(lines)


def cost(params: Params, devices: list[str]) -> str:
    """Return the size of the plan, how much of it is missing, and what rendering that would take."""
    plan, source = context.current(params, devices)
    with Pool(paths.pool()) as pool:
        return _cost(pool, plan, source)


def _cost(pool: Pool, plan: Plan, source: Source) -> str:
    recipe = plan.recipe
    distinct, needed = sum(want.count for want in plan.distinct()), pool.lacks(recipe, plan.distinct())
    rate, size = pool.rate(recipe), pool.bytes_per_image(recipe)
    time = f"about {timedelta(seconds=round(needed / rate))} at the last rate" if rate else "rate not yet known"
    space = f"about {needed * size / 1e6:.1f} MB in the pool" if size else "size not yet known"
    sharing = "each client has its own" if plan.sharing == "own" else "clients share them"
    return (
        f"recipe {recipe.digest}, {source.recipe.dtype}: {plan.missing.sum()} images planned for "
        f"{len(plan.missing)} clients, {distinct} distinct ({sharing}), {distinct - needed} in the pool\n"
        f"{needed} to render"
        + (
            f" in about {-(-needed // recipe.batch_size)} batches of {recipe.batch_size}: {time}, {space}"
            if needed
            else ""
        )
    )


def regenerate(params: Params, devices: list[str], client: int, fresh: bool) -> str:
    """Write one client's shard again and tell whether its bytes are those that the manifest names.

    With ``fresh`` its images are rendered again though the pool holds them. Raises ArtifactError, before anything is
    written, if the manifest was made from other parameters or deficits.
    """
    known = manifest.load()
    old = known.shard(client)
    plan, source = context.current(params, devices)
    _check_same(known, plan, client)
    with Pool(paths.pool()) as pool, pool.writing():
        made = again(pool, plan.of(client), source, devices) if fresh else fill(pool, plan, source, devices, [client])
        new = assemble.write(pool, plan, client, params.generate.shard_megabytes)
        if new != old:
            manifest.load().with_shard(new).save()  # another client's line may have changed meanwhile
    text = f"client {client}: {made} images rendered, {new.rows} in {', '.join(map(str, new.paths))}, "
    if new == old:
        return text + "byte for byte the shard that the manifest names"
    return f"{text}not the bytes that the manifest named; the manifest now names these.\n{_advice()}"


def _check_same(known: Manifest, plan: Plan, client: int) -> None:
    fix = "run: dvc repro generate"
    if known.recipe != plan.recipe.digest:
        mine = plan.recipe.as_dict()
        changed = [name for name, value in mine.items() if known.recipe_text.get(name) != value]
        what = f"the shards were made by another recipe (differs in {', '.join(changed)})"
        raise ArtifactError(what, f"{paths.MANIFEST}, recipe {known.recipe}, now {plan.recipe.digest}", fix)
    planned, there = len(plan.missing), len(known.shards)
    if planned != there:
        raise ArtifactError(f"the deficits are of {planned} clients, the shards of {there}", paths.MANIFEST, fix)
    if known.shard(client).plan != plan.digest(client):
        raise ArtifactError(f"client {client}'s deficits changed since its shard was made", paths.DEFICITS, fix)


def _advice() -> str:
    """Say which DVC commands adopt the new bytes; ``dvc repro`` alone would put the old ones back."""
    if not Path(".dvc").is_dir():
        return "Train again to use them."
    answer = subprocess.run(
        [sys.executable, "-m", "dvc", "status", "--json", "generate"], capture_output=True, text=True, check=False
    )
    try:
        changes = [change for found in json.loads(answer.stdout).values() for change in found]
    except ValueError:
        changes = []
    if any("changed outs" not in change for change in changes):
        return "Parameters, code or inputs of the stage changed too, so: dvc repro generate"
    return "To adopt them: dvc commit -f generate && dvc repro   (dvc repro alone puts the old bytes back)"
