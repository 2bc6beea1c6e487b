"""The results of the last report."""

from typing import TYPE_CHECKING

import typer

from pipeline.cli import text

if TYPE_CHECKING:
    from pipeline.commands.results import Results

commands = typer.Typer()


@commands.command()
def results() -> None:
    """Print the result tables of the last report, and where its page is."""
    from pipeline.commands import results
    from pipeline.workspace import Workspace

    workspace = Workspace()
    typer.echo(results_text(results.results(workspace)))
    typer.echo(f"\nThe whole report: {workspace.report_page}")


def results_text(found: "Results") -> str:
    """Return the result tables."""
    parts = [found.caption]
    parts += [f"{title}\n{text.table(rows)}" for title, rows in found.tables.items()]
    return "\n\n".join(parts)
