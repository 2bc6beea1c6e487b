"""Fetch a publication from the Hugging Face Hub into the pool, and compare its recipe with the parameters."""

from dataclasses import dataclass
from pathlib import Path

from pipeline import params as parameters
from pipeline.commands import published_params
from pipeline.commands.published_params import Fetched
from pipeline.errors import PipelineError
from pipeline.generation import devices, model
from pipeline.generation import recipe as recipes
from pipeline.generation.devices import Assumption
from pipeline.generation.pool import Pool, import_images
from pipeline.generation.recipe import Recipe
from pipeline.hub import pull as hub_pull
from pipeline.params import Params
from pipeline.workspace import Workspace


@dataclass(frozen=True)
class Pulled:
    """What a pull put into the pool, and whether the parameters ask for it."""

    repo_id: str
    commit: str
    images: int
    clients: int
    recipe: str
    """Digest."""
    new: int
    """Images that the pool did not hold before."""
    pool: Path
    use: "Use"
    params: Fetched
    """What became of its params.yaml."""
    gate: str | None = None
    """The judge and the least probability of the gate that the images went through."""


@dataclass(frozen=True)
class Use:
    """Whether the plan of this workspace would use the images of a publication."""

    differences: tuple[str, ...] = ()
    """Entries of the recipe that differ from what the parameters ask for; empty: none differs."""
    assumed: Assumption | None = None
    """What was taken for the dtype ``auto``."""
    unresolved: str | None = None
    """Why the recipe that the parameters ask for is not known."""


def pull(workspace: Workspace, params: Params | None, repo_id: str, revision: str | None) -> Pulled:
    """Put the images of a publication into the pool, all or none, and its params.yaml into a workspace that has none.

    ``params`` is None for a workspace without params.yaml. Raises HubError if a file is not the one that the manifest
    names, or an image is not one that the recipe gives.
    """
    found = hub_pull.find(repo_id, revision)
    repo_id = found.hub.repo_id
    with Pool(workspace.pool) as pool:
        rule = found.manifest.gate
        judge = None if rule is None else rule.judge
        imported = import_images(pool, found.recipe, hub_pull.images(found), judge)
    known = found.manifest
    gate = None if rule is None else f"{rule.name} ({rule.judge[:12]}, least_probability {rule.least_probability:g})"
    counts = (known.images, len(known.shards), known.recipe, imported.new)
    fetched = published_params.fetch(workspace, found)
    if params is None and fetched.state == "written":
        params = parameters.load(workspace.params)
    use = Use(unresolved="there is no params.yaml") if params is None else _use(workspace, params, found.recipe)
    return Pulled(repo_id, found.commit, *counts, workspace.pool, use, fetched, gate)


def _use(workspace: Workspace, params: Params, theirs: Recipe) -> Use:
    chosen = params.generate
    assumed = devices.expected_dtype(workspace, chosen.dtype)
    try:
        mine = model.resolve(workspace, chosen, params.seed, theirs.image_size, assumed.dtype).recipe
    except PipelineError as error:
        return Use(unresolved=error.what)
    changed = recipes.differences(mine.as_dict(), theirs.as_dict())
    return Use(tuple(changed), assumed if chosen.dtype == "auto" else None)
