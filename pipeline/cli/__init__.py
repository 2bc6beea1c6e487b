"""The command line: one module for each group of commands. Options in, text out; everything else is elsewhere.

Commands import what they call when they run, since torch takes seconds to load and ``--help`` must not wait for it.
"""

from typing import Annotated

import typer

from pipeline.cli import cache, evaluate, hub, images, init, pool, preset, report, runs, stages, sweep

app = typer.Typer(
    help="Fill federated clients' missing classes with Stable Diffusion images, and measure whether it helped.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for group in (init, stages, evaluate, report, images, hub):
    app.add_typer(group.commands)
app.add_typer(preset.commands, name="preset")
app.add_typer(pool.commands, name="pool")
app.add_typer(runs.commands, name="runs")
app.add_typer(cache.commands, name="cache")
app.add_typer(sweep.commands, name="sweep")


def _version(asked: bool) -> None:
    if asked:
        from pipeline import shipped

        typer.echo(f"gen-fedsd {shipped.version()}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Fill federated clients' missing classes with Stable Diffusion images, and measure whether it helped."""
