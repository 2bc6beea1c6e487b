"""The cache as a whole."""

from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli import options, text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.commands.cache import Collected, Part, Stats

commands = typer.Typer(help="Look after the cache: decoded images, finished runs, checkpoints, embeddings, the pool.")


@commands.command()
def stats() -> None:
    """Print what the cache holds, by kind."""
    from pipeline.commands import cache
    from pipeline.workspace import Workspace

    text.echo(stats_text(cache.stats(Workspace())))


@commands.command()
def gc(
    older_than: Annotated[
        float | None,
        typer.Option(min=0, help="Delete also runs and embeddings last used, and images stored, so many days ago."),
    ] = None,
    dry_run: options.DryRunOfDeletion = False,
) -> None:
    """Delete arrays that this workspace does not use, checkpoints of finished runs, and what killed processes left."""
    from pipeline.commands import cache
    from pipeline.workspace import Workspace

    text.echo(collected_text(cache.gc(Workspace(), older_than, dry_run), dry_run))


def stats_text(found: "Stats") -> str:
    """Return a table with a line for each kind."""
    return f"{found.path}\n{_table(found.parts)}"


def collected_text(done: "Collected", dry_run: bool) -> str:
    """Return what was deleted, or would be."""
    head = "would be deleted:" if dry_run else "deleted:"
    kept = f"\n{done.in_use} arrays stay, since a running process uses them" if done.in_use else ""
    return f"{head}\n{_table(done.parts)}{kept}"


def _table(parts: "Sequence[Part]") -> str:
    total = sum(part.disk_bytes for part in parts)
    rows = [(part.kind, str(part.entries), text.megabytes(part.disk_bytes)) for part in parts]
    return text.table([("kind", "entries", "size"), *rows, ("together", "", text.megabytes(total))])
