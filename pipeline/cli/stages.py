"""The stages, one command each, in the order in which DVC runs them.

Each reads the parameters before it imports its stage, so that a mistake in them is reported at once.
"""

from typing import Annotated

import typer

from pipeline.cli import options, text

commands = typer.Typer()


@commands.command()
def fingerprint(kinds: options.Kinds = None) -> None:
    """Stage: say what images and model are, so that a change of theirs is noticed, wherever they are."""
    workspace, params = options.parameters()
    from pipeline.stages import fingerprint

    for of in kinds or options.Kind:
        fingerprint.run(workspace, params, of)


@commands.command()
def partition() -> None:
    """Stage: give every real training image to a client."""
    workspace, params = options.parameters()
    from pipeline.stages import partition

    partition.run(workspace, params)


@commands.command()
def deficits() -> None:
    """Stage: count what each client lacks."""
    workspace, params = options.parameters()
    from pipeline.stages import deficits

    deficits.run(workspace, params)


@commands.command()
def generate(
    devices: options.Devices = "auto",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print the size and cost of the plan.")] = False,
    probe: Annotated[
        bool, typer.Option("--probe", help="With --dry-run: first render a batch on each device, to measure the rate.")
    ] = False,
) -> None:
    """Stage: render what the pool lacks, write the shards and the manifest."""
    from pipeline.errors import ParameterError

    if probe and not dry_run:
        raise ParameterError("a probe without an estimate", "--probe", "add --dry-run")
    workspace, params = options.parameters()
    from pipeline.generation.devices import parse

    if dry_run:
        from pipeline.cli import images
        from pipeline.commands import status

        chosen = parse(devices) if probe or devices != "auto" else None  # auto would load torch
        if probe and chosen:
            status.probe(workspace, params, chosen)
        text.echo(images.cost_text(status.cost(workspace, params, chosen)))
        return
    chosen = parse(devices)
    from pipeline.stages import generate

    generate.run(workspace, params, chosen)


@commands.command()
def fill(fill: options.Fill = None) -> None:
    """Stage: list the images that each client trains on, with one fill or with all of params.yaml."""
    workspace, params = options.parameters(fill=fill)
    from pipeline.stages import fill as stage

    for name in [fill] if fill else params.train.all_fills():
        stage.run(workspace, params, name)


@commands.command()
def train(
    fill: options.Fill = None,
    algorithm: options.Algorithm = None,
    workers: options.Workers = 0,
    checkpoint_every: options.CheckpointEvery = 10,
) -> None:
    """Stage: train one fill with one algorithm, or all that params.yaml names, for every budget and seed.

    Without --fill and --algorithm each client is also trained alone, with the fills in train.alone.
    """
    workspace, params = options.parameters(fill=fill, algorithm=algorithm)
    from pipeline import processes
    from pipeline.generation import devices

    if workers != 1 and not devices.has_gpu() and devices.cores() > 1:
        processes.warm_up("pipeline.federated.preload")  # on another core, while torch is imported here
    from pipeline.federated.workers import ExecutionOptions
    from pipeline.stages import train

    execution = ExecutionOptions(workers or _device_count(), checkpoint_every)
    if fill:
        chosen: tuple[tuple[str, str], ...] = ((fill, algorithm or "fedavg"),)
    else:
        chosen = tuple((name, algorithm) for name in params.train.fills) if algorithm else params.train.pairs()
    for name, optimiser in chosen:
        train.run(workspace, params, name, optimiser, execution)
    for name in () if fill or algorithm else params.train.alone:
        train.run_alone(workspace, params, name, execution)


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
