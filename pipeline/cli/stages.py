"""The stages, one command each, in the order in which DVC runs them.

Each reads the parameters before it imports its stage, so that a mistake in them is reported at once.
"""

from typing import Annotated

import typer

from pipeline.cli import options, text

commands = typer.Typer()


@commands.command()
def partition() -> None:
    """Stage: give every real training image to a client."""
    workspace, params = options.parameters()
    from pipeline import progress
    from pipeline.stages import partition

    with progress.timed(workspace.timing("partition")):
        partition.run(workspace, params)


@commands.command()
def deficits() -> None:
    """Stage: count what each client lacks."""
    workspace, params = options.parameters()
    from pipeline import progress
    from pipeline.stages import deficits

    with progress.timed(workspace.timing("deficits")):
        deficits.run(workspace, params)


@commands.command()
def generate(
    devices: options.Devices = "auto",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print the size and cost of the plan.")] = False,
) -> None:
    """Stage: render what the pool lacks, write the shards and the manifest."""
    workspace, params = options.parameters()
    if dry_run:
        from pipeline.cli import images
        from pipeline.commands import status

        text.echo(images.cost_text(status.cost(workspace, params)))
        return
    from pipeline.generation.devices import parse

    chosen = parse(devices)
    from pipeline import progress
    from pipeline.stages import generate

    with progress.timed(workspace.timing("generate")):
        generate.run(workspace, params, chosen)


@commands.command()
def fill(fill: options.Fill) -> None:
    """Stage: list the images that each client trains on with one fill."""
    workspace, params = options.parameters(fill=fill)
    from pipeline import progress
    from pipeline.stages import fill as stage

    with progress.timed(workspace.timing(f"fill {fill}")):
        stage.run(workspace, params, fill)


@commands.command()
def train(
    fill: options.Fill,
    algorithm: Annotated[str, typer.Option(help="fedavg, fedprox, scaffold, fednova, ...")] = "fedavg",
    workers: options.Workers = 0,
    checkpoint_every: options.CheckpointEvery = 10,
) -> None:
    """Stage: train with one fill and algorithm, for every budget and seed."""
    workspace, params = options.parameters(fill=fill, algorithm=algorithm)
    from pipeline import processes, progress
    from pipeline.generation import devices

    if workers != 1 and not devices.has_gpu() and devices.cores() > 1:
        processes.warm_up("pipeline.federated.preload")  # on another core, while torch is imported here
    from pipeline.federated.workers import ExecutionOptions
    from pipeline.stages import train

    with progress.timed(workspace.timing(f"train {fill} {algorithm}")):
        execution = ExecutionOptions(workers or _device_count(), checkpoint_every)
        train.run(workspace, params, fill, algorithm, execution)


@commands.command()
def report() -> None:
    """Stage: the page, and the same numbers as DVC metrics and plots."""
    workspace, params = options.parameters()
    from pipeline.stages import report

    report.run(workspace, params)


def _device_count() -> int:
    """Return the number of GPUs, else of CPU cores: a second worker on a GPU would hold a second copy of all images."""
    from pipeline.generation.devices import parse

    return len(parse("auto"))
