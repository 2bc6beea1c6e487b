"""The pool of finished synthetic images."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli import options, text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.generation.pool import Collected, Entry, Stats
    from pipeline.generation.recipe import Recipe

commands = typer.Typer(help="Look after the pool of finished images.")

_NAME_LENGTH = 28
"""Characters of a model's name in a table."""


@commands.command()
def stats() -> None:
    """Print how much the pool holds."""
    from pipeline.commands import pool
    from pipeline.workspace import Workspace

    text.echo(stats_text(pool.stats(Workspace())))


@commands.command("list")
def list_recipes() -> None:
    """List the pool's recipes; the one with the newest image is the last."""
    from pipeline.commands import pool
    from pipeline.workspace import Workspace

    text.echo(recipes_text(pool.list_recipes(Workspace())))


@commands.command()
def gc(
    recipe: options.Recipes = None,
    older_than: options.OlderThan = None,
    dry_run: options.DryRunOfDeletion = False,
) -> None:
    """Delete images of some recipes, of some age, or both."""
    from pipeline.commands import pool
    from pipeline.workspace import Workspace

    text.echo(collected_text(pool.gc(Workspace(), recipe or [], older_than, dry_run), dry_run))


@commands.command()
def export(
    out: Annotated[Path, typer.Argument(help="The file to write.")],
    recipe: options.Recipes = None,
) -> None:
    """Write images (default: all) to a file that another pool can import."""
    from pipeline.commands import pool
    from pipeline.workspace import Workspace

    done = pool.export_pool(Workspace(), out, recipe or [])
    text.echo(f"{done.images} images in {done.path} ({text.megabytes(done.file_bytes)})")


@commands.command("import")
def import_pool(
    file: Annotated[
        Path,
        typer.Argument(help="What gen-fedsd pool export wrote, another pool, or a folder of shards (data/shards)."),
    ],
) -> None:
    """Copy the images of another pool, or of shards and their manifest, that this pool lacks."""
    from pipeline.commands import pool
    from pipeline.workspace import Workspace

    done = pool.import_pool(Workspace(), file)
    text.echo(f"{done.new} images imported from {file}; {done.known} were here already")


def stats_text(found: "Stats") -> str:
    """Return how much the pool holds, on disk and in images."""
    size = text.megabytes(found.image_bytes)
    judges = f"{found.judges} judge{'s' * (found.judges != 1)}"
    scores = f"\n{found.scores} scores of {judges}" if found.scores else ""
    return (
        f"{found.path}: {text.megabytes(found.disk_bytes)} on disk\n"
        f"{found.images} images ({size}) of {found.recipes} recipes in {found.lanes} lanes; "
        f"{found.redrawn} drawn more than once, {found.faint} faint{scores}"
    )


def recipes_text(entries: "Sequence[Entry]") -> str:
    """Return a table with a line for each recipe."""
    rows = [("recipe", "images", "size", "first", "last", "model", "settings")]
    for entry in entries:
        recipe = entry.recipe
        rows.append(
            (
                entry.digest,
                str(entry.images),
                text.megabytes(entry.image_bytes),
                text.day(entry.first),
                text.day(entry.last),
                recipe.model[:_NAME_LENGTH] if recipe else "",
                _settings(recipe) if recipe else "damaged, or of another version of gen-fedsd",
            )
        )
    return text.table(rows)


def _settings(recipe: "Recipe") -> str:
    scales = " ".join(f"{scale:g}" for scale in recipe.guidance)
    return f"{recipe.steps} steps, guidance {scales}, {recipe.dtype}, seed {recipe.seed}"


def collected_text(done: "Collected", dry_run: bool) -> str:
    """Return what was deleted, or would be."""
    verb = "would be deleted" if dry_run else "deleted"
    return f"{done.images} images ({text.megabytes(done.image_bytes)}) {verb}"
