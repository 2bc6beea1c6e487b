"""The results of the last report."""

from typing import TYPE_CHECKING

import typer

from pipeline import printable
from pipeline.cli import text

if TYPE_CHECKING:
    from pipeline.commands.results import Results

commands = typer.Typer()


@commands.command()
def results() -> None:
    """Print the result tables of the last report, and where its page is."""
    from pipeline.commands import results
    from pipeline.workspace import Workspace

    text.echo(results_text(results.results(Workspace())))


def results_text(found: "Results") -> str:
    """Return the verdict, the result tables, the remarks, and where the page is."""
    parts = [printable.line(found.verdict)] if found.verdict else []
    parts += ["Accuracy on the test images, in percent, with 95 % intervals over seeds"]
    parts += [
        f"{printable.line(table.title)}\n{text.table([table.head, *table.rows])}"
        for table in (*found.tables, *found.details)
    ]
    if found.remarks:
        parts.append("\n".join(f"Note: {printable.line(remark)}" for remark in found.remarks))
    return "\n\n".join([*parts, f"The whole report: {found.page}"])
