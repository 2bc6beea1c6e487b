"""Command ``regenerate``: one client's shard written again."""

from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from pipeline import ledger
from pipeline.artifacts import manifest
from pipeline.artifacts.manifest import Manifest
from pipeline.commands import dvc
from pipeline.errors import ArtifactError
from pipeline.generation import assemble, gate, lengths, request
from pipeline.generation.devices import resolve_dtype
from pipeline.generation.plan import Plan
from pipeline.generation.pool import Pool
from pipeline.generation.render import render_again, render_missing
from pipeline.params import Params
from pipeline.workspace import Workspace


class NextStep(Enum):
    """What makes the next stages use a shard whose bytes changed."""

    TRAIN = "train"
    """Train again; the folder is not under DVC."""
    COMMIT = "commit"
    """``dvc commit`` the shards, then ``dvc repro``; without the commit DVC restores the old bytes."""
    REPRO = "repro"
    """``dvc repro generate``: parameters, code or inputs of the stage changed as well."""


@dataclass(frozen=True)
class Regenerated:
    """One client's shard, written again."""

    client: int
    rendered: int
    """Images that were rendered for it."""
    rows: int
    paths: tuple[Path, ...]
    next_step: NextStep | None
    """None if the shard is, byte for byte, the one that the manifest names."""


@ledger.accounted("regenerate", lambda given: given["devices"], reported=True)
def regenerate(workspace: Workspace, params: Params, devices: list[str], client: int, fresh: bool) -> Regenerated:
    """Write one client's shard again, and its line in the manifest if the bytes are not those that it names.

    With ``fresh`` its images are rendered again though the pool holds them. With a gate, the scores of the pool decide,
    and what has none is judged. Raises ArtifactError, before anything is written, if the manifest was made from other
    parameters or deficits.
    """
    known = manifest.load(workspace.manifest)
    old = known.shard(client)
    asked = request.current(workspace, params, resolve_dtype(params.generate.dtype, devices), devices[0])
    asked.check_recipe(known)
    asked.check_gate(known)
    _check_deficits(workspace, known, asked.plan, client)
    lengths.check(workspace, params.generate, asked, [client])
    with Pool(workspace.pool) as pool, pool.writing():
        made = 0
        if fresh:
            drawn, _ = gate.settled(pool, asked.plan, [client])
            made = render_again(pool, drawn.drawn_for(client), asked.model, devices)
        if not fresh or asked.gate is not None:  # the judge may refuse what is drawn again, if its bytes are others
            made += render_missing(pool, asked, devices, [client])
        plan, _ = gate.settled(pool, asked.plan, [client])
        new = assemble.write(pool, plan, client, workspace.shards, params.generate.shard_megabytes)
        if new != old:
            manifest.load(workspace.manifest).with_shard(new).save()  # another line may have changed meanwhile
    next_step = None if new == old else _next_step(workspace)
    return Regenerated(client, made, new.rows, tuple(path for _, path in known.files(new)), next_step)


def _check_deficits(workspace: Workspace, known: Manifest, plan: Plan, client: int) -> None:
    """Raise ArtifactError unless the client's shard was made from the deficits on disk."""
    fix = "run: dvc repro generate"
    planned, there = len(plan.missing), len(known.shards)
    if planned != there:
        raise ArtifactError(f"the deficits are of {planned} clients, the shards of {there}", known.place, fix)
    if known.shard(client).plan != plan.digest(client):
        what = f"client {client}'s deficits changed since its shard was made"
        raise ArtifactError(what, workspace.deficits, fix)


def _next_step(workspace: Workspace) -> NextStep:
    """Return how to adopt the new bytes; ``dvc repro`` alone would put the old ones back."""
    if not (workspace.root / ".dvc").is_dir():
        return NextStep.TRAIN
    changed = dvc.changes(workspace.root, "generate") or []
    return NextStep.REPRO if any("changed outs" not in change for change in changed) else NextStep.COMMIT
