"""The command line: one module for each group of commands. Options in, text out; everything else is elsewhere.

Commands import what they call when they run, since torch takes seconds to load and ``--help`` must not wait for it.
"""

import typer

from pipeline.cli import cache, evaluate, hub, images, network, pool, report, runs, stages, sweep

app = typer.Typer(
    help="Fill federated clients' missing classes with Stable Diffusion images, and measure whether it helped.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for group in (stages, evaluate, report, images, hub):
    app.add_typer(group.commands)
app.add_typer(pool.commands, name="pool")
app.add_typer(runs.commands, name="runs")
app.add_typer(cache.commands, name="cache")
app.add_typer(network.commands, name="network")
app.add_typer(sweep.commands, name="sweep")
