"""The synthetic images between runs: what is planned and there, and shards checked, written again, looked at."""

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli import options, text

if TYPE_CHECKING:
    from pipeline.commands.regenerate import Regenerated
    from pipeline.commands.status import Cost, Status

commands = typer.Typer()


@commands.command()
def status() -> None:
    """Print what is planned, in the pool and missing for each client, and how long rendering would take."""
    workspace, params = options.parameters()
    from pipeline.commands import status

    text.echo(status_text(status.status(workspace, params)))


@commands.command()
def regenerate(
    client: options.Client,
    fresh: Annotated[bool, typer.Option("--fresh", help="Render images again that the pool already holds.")] = False,
    devices: options.Devices = "auto",
) -> None:
    """Write one client's shard again, and render what the pool lacks."""
    workspace, params = options.parameters()
    from pipeline.commands import regenerate
    from pipeline.generation.devices import parse

    text.echo(regenerated_text(regenerate.regenerate(workspace, params, parse(devices), client, fresh)))


@commands.command()
def verify(
    rerender: Annotated[int, typer.Option(min=0, help="Render this many random images again and compare.")] = 0,
    seed: Annotated[int, typer.Option(help="Decides which images are rendered again.")] = 0,
    devices: options.Devices = "auto",
) -> None:
    """Check every shard against the manifest."""
    from pipeline.commands import verify
    from pipeline.workspace import Workspace

    checked = verify.shards(Workspace())
    text.echo(f"{checked.shards} shards, {checked.images} images: all as the manifest says")
    if rerender:
        workspace, params = options.parameters()
        from pipeline.generation.devices import parse

        again = verify.rerender(workspace, params, parse(devices), rerender, seed)
        text.echo(f"{again.images} random images rendered again: byte for byte the same")


@commands.command()
def preview(
    client: options.Client,
    out: Annotated[Path | None, typer.Option(help="The PNG file to write.")] = None,
    per_class: Annotated[int, typer.Option(min=1, help="Images of each class.")] = 16,
) -> None:
    """Draw one client's synthetic images as a contact sheet."""
    from pipeline.commands import preview
    from pipeline.workspace import Workspace

    drawn = preview.preview(Workspace(), client, per_class, out)
    text.echo(f"{drawn.images} images of {drawn.classes} classes in {drawn.path}")


def status_text(found: "Status") -> str:
    """Return a table with a line for each client, and the cost of what is missing."""
    rows = [("client", "planned", "in pool", "missing")]
    rows += [(str(one.client), str(one.planned), str(one.held), str(one.missing)) for one in found.clients]
    words = f"{text.table([('class name', 'in prompts'), *found.words])}\n" if found.words else ""
    return f"{words}{text.table(rows, right=True)}\n{cost_text(found.cost)}"


def cost_text(cost: "Cost") -> str:
    """Return the size of the plan, how much of it is missing, and what rendering that would take."""
    sharing = "each client has its own" if cost.sharing == "own" else "clients share them"
    planned = (
        f"recipe {cost.recipe}, {cost.dtype.dtype} ({cost.dtype.why}): {cost.planned} images planned for "
        f"{cost.clients} clients, {cost.distinct} distinct ({sharing}), {cost.held} in the pool"
    )
    if not cost.missing:
        return f"{planned}\n0 to render"
    time = "rate not yet known"
    if cost.seconds is not None:
        time = f"about {timedelta(seconds=round(cost.seconds))} at the last rate"
    space = "size not yet known" if cost.bytes is None else f"about {text.megabytes(cost.bytes)} in the pool"
    batches = f"about {cost.batches} batches of {cost.batch_size}"
    return f"{planned}\n{cost.missing} to render in {batches}: {time}, {space}"


_ADVICE = {
    "train": "Train again to use them.",
    "commit": "To adopt them: dvc commit -f generate && dvc repro   (dvc repro alone restores the old bytes)",
    "repro": "Parameters, code or inputs of the stage changed too, so run: dvc repro generate",
}


def regenerated_text(done: "Regenerated") -> str:
    """Return what was written, and how to use it if its bytes changed."""
    files = ", ".join(map(str, done.paths))
    head = f"client {done.client}: {done.rendered} images rendered, {done.rows} in {files}, "
    if done.next_step is None:
        return head + "byte for byte the shard that the manifest names"
    changed = "not the bytes that the manifest named; the manifest now names these."
    return f"{head}{changed}\n{_ADVICE[done.next_step.value]}"
