"""Commands ``pool stats | list | gc | export | import``, each on the workspace's pool."""

from collections.abc import Sequence
from pathlib import Path

from pipeline.artifacts import manifest
from pipeline.errors import ParameterError
from pipeline.generation import pool
from pipeline.generation.pool import Collected, Entry, Exported, Imported, Pool, Stats
from pipeline.workspace import Workspace


def stats(workspace: Workspace) -> Stats:
    """Return how much the pool holds."""
    with Pool(workspace.pool) as opened:
        return pool.stats(opened)


def list_recipes(workspace: Workspace) -> list[Entry]:
    """Return the pool's recipes, the latest rendered last."""
    with Pool(workspace.pool) as opened:
        return pool.list_recipes(opened)


def gc(workspace: Workspace, recipes: Sequence[str], older_than: float | None, dry_run: bool) -> Collected:
    """Delete images of some recipes, of some age in days or more, or both."""
    with Pool(workspace.pool) as opened:
        return pool.gc(opened, recipes, older_than, dry_run)


def export_pool(workspace: Workspace, out: Path, recipes: Sequence[str]) -> Exported:
    """Write images (no recipe given: all) to a file that another pool can import."""
    with Pool(workspace.pool) as opened:
        return pool.export_pool(opened, out, recipes)


def import_pool(workspace: Workspace, path: Path) -> Imported:
    """Copy the images of another pool, or of a folder of shards beside its manifest, that this pool lacks."""
    shards = path.is_dir()
    if shards:
        known = manifest.load(path.resolve().with_name("manifest.json"))
        if known.folder != path.resolve():
            fix = f"give the folder {known.folder.name} beside the manifest"
            raise ParameterError("not a folder of shards", path, fix)
    with Pool(workspace.pool) as opened:
        return pool.import_shards(opened, known) if shards else pool.import_pool(opened, path)
