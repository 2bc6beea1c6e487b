"""The store of finished training runs."""

from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli import options, text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.commands.runs import Collected, Stats
    from pipeline.federated.runs import StoredRun

commands = typer.Typer(help="Look after the store of finished training runs.")


@commands.command()
def stats() -> None:
    """Print how much the store holds."""
    from pipeline.commands import runs
    from pipeline.workspace import Workspace

    text.echo(stats_text(runs.stats(Workspace())))


@commands.command("list")
def list_runs() -> None:
    """List the finished runs; the last one is that which was used last."""
    from pipeline.commands import runs
    from pipeline.workspace import Workspace

    text.echo(runs_text(runs.list_runs(Workspace())))


@commands.command()
def gc(
    run: Annotated[list[str] | None, typer.Option(help="A run's digest or its beginning; repeatable.")] = None,
    older_than: Annotated[
        float | None, typer.Option(min=0, help="Only what was last used at least so many days ago.")
    ] = None,
    dry_run: options.DryRunOfDeletion = False,
) -> None:
    """Delete some runs, those that were not used lately, or those that are both."""
    from pipeline.commands import runs
    from pipeline.workspace import Workspace

    text.echo(collected_text(runs.gc(Workspace(), run or [], older_than, dry_run), dry_run))


def stats_text(found: "Stats") -> str:
    """Return how much the store holds."""
    return f"{found.path}: {found.runs} runs, {text.megabytes(found.disk_bytes)} on disk"


def runs_text(entries: "Sequence[StoredRun]") -> str:
    """Return a table with a line for each run."""
    rows = [("run", "size", "last used", "model", "rounds", "accuracy", "seconds", "trained for")]
    for entry in entries:
        accuracy = "" if entry.accuracy is None else f"{100 * entry.accuracy:.1f}"
        size, day = text.megabytes(entry.disk_bytes), text.day(entry.used)
        known = (entry.model or "", str(entry.rounds or ""), accuracy, str(entry.seconds or ""))
        rows.append((entry.digest, size, day, *known, entry.title))
    return text.table(rows)


def collected_text(done: "Collected", dry_run: bool) -> str:
    """Return what was deleted, or would be."""
    verb = "would be deleted" if dry_run else "deleted"
    return f"{done.runs} runs ({text.megabytes(done.disk_bytes)}) {verb}"
