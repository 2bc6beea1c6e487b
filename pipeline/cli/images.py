"""The synthetic images between runs: what is planned and there, and shards checked, written again, looked at."""

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli import options, text

if TYPE_CHECKING:
    from pipeline.commands.regenerate import Regenerated
    from pipeline.commands.status import Cost, Gated, Shards, Status
    from pipeline.generation.rates import Estimate

commands = typer.Typer()


@commands.command()
def status(
    estimate: Annotated[
        bool, typer.Option("--estimate", help="Print what each deficit rule would cost; needs only the partition.")
    ] = False,
    ledger: Annotated[
        bool, typer.Option("--ledger", help="Print what was spent here: time, energy, bytes, and by point of accuracy.")
    ] = False,
) -> None:
    """Print what is planned, in the pool and missing for each client, and how long rendering would take."""
    if estimate and ledger:
        from pipeline.errors import ParameterError

        raise ParameterError("--estimate and --ledger exclude each other", "gen-fedsd status", "drop one of them")
    if ledger:
        from pipeline.cli import ledger_text
        from pipeline.commands import spending
        from pipeline.workspace import Workspace

        text.echo(ledger_text.shown(spending.show(Workspace())))
        return
    workspace, params = options.parameters()
    if estimate:
        from pipeline.cli import estimate_text
        from pipeline.commands import estimate as command

        text.echo(estimate_text.shown(command.estimate(workspace, params)))
        return
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
    refused = f", and {checked.refused} that the gate refused" if checked.refused else ""
    text.echo(f"{checked.shards} shards, {checked.images} images{refused}: all as the manifest says")
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
    refused = f", and {drawn.refused} that the gate refused" if drawn.refused else ""
    text.echo(f"{drawn.images} images of {drawn.classes} classes{refused} in {drawn.path}")


def status_text(found: "Status") -> str:
    """Return a table with a line for each client, the cost of what the pool lacks, and what the shards hold of it."""
    rows: list[tuple[str, ...]] = [("client", "planned", "in pool", "in shards", "in neither")]
    rows += [tuple(map(str, (c.client, c.planned, c.held, c.sharded, c.lacking))) for c in found.clients]
    if any(one.name for one in found.clients):
        names = ["name", *(one.name for one in found.clients)]
        rows = [(row[0], name, *row[1:]) for row, name in zip(rows, names, strict=True)]
    parts = [text.table(rows, right=True), cost_text(found.cost)]
    if found.words:
        parts.insert(0, text.table([("class name", "in prompts"), *found.words]))
    if found.shards is not None and found.cost.missing:
        parts.append(shards_text(found.shards, found.cost))
    return "\n".join(parts)


def cost_text(cost: "Cost") -> str:
    """Return the size of the plan, how much of it is missing, and what rendering that would take."""
    sharing = "each client has its own" if cost.sharing == "own" else "clients share them"
    planned = (
        f"recipe {cost.recipe}, {cost.dtype.dtype} ({cost.dtype.why}): {cost.planned} images planned for "
        f"{cost.clients} clients, {cost.distinct} distinct ({sharing}), {cost.held} in the pool"
    )
    if cost.gated is not None:
        planned = f"{planned}\n{gated_text(cost.gated)}"
    if not cost.missing:
        return f"{planned}\n0 to render{' but for what the gate may refuse' if cost.gated and cost.gated.left else ''}"
    time = "rate not yet known (gen-fedsd generate --dry-run --probe measures it)"
    if cost.rate is not None and cost.seconds is not None:
        time = f"about {timedelta(seconds=round(cost.seconds))} {rate_text(cost.rate)}"
    space = "size not yet known" if cost.bytes is None else f"about {text.megabytes(cost.bytes)} in the pool"
    replaced = ""
    if cost.gated is not None and cost.gated.more:
        replaced = f" with about {cost.gated.more} in place of refused ones"
    batches = f"about {cost.batches} batches of {cost.batch_size}"
    return f"{planned}\n{cost.missing} not in the pool, to render{replaced} in {batches}: {time}, {space}"


def gated_text(gated: "Gated") -> str:
    """Return what the gate refused so far, and what the estimate says of what it will refuse."""
    share = f" ({100 * gated.refused / gated.judged:.0f} %)" if gated.judged else ""
    known = f"gate {gated.name}: {gated.judged} of the images are judged, and {gated.refused} of them refused{share}"
    if gated.unknown:
        known += f"; the estimate has no refusals of {gated.unknown} images, in classes of which none passed yet"
    return known


def rate_text(rate: "Estimate") -> str:
    """Return a rate, and what it is based on."""
    known = rate.based_on
    workers = f"{known.workers} worker{'s' * (known.workers != 1)}"
    scaled = "" if rate.images_per_second == known.images_per_second else ", scaled to the devices asked for"
    return (
        f"at {rate.images_per_second:.3g} images/s (measured {text.ago(known.measured)} over {known.images} images on "
        f"{workers}, {known.hardware}{scaled})"
    )


def shards_text(shards: "Shards", cost: "Cost") -> str:
    """Return what the shards hold of what the pool lacks, and what ``dvc repro`` would do."""
    where = f"data/shards holds {shards.images} images in whole files (gen-fedsd verify compares every byte)"
    if shards.damaged:
        where += f", and {shards.damaged} images are in files that are missing or of another size"
    if shards.planned < cost.planned:
        return f"{where}; {shards.planned} of them are as planned now, so dvc repro renders what the pool lacks"
    doing = {
        None: "If nothing changed since they were made, dvc repro renders nothing.",
        False: "dvc repro renders nothing, since nothing changed since they were made.",
        True: f"But DVC sees a change, so dvc repro would run generate and render the {cost.missing} again.",
    }[shards.changes]
    refill = "To put them into the pool again, so that no later run renders them: gen-fedsd pool import data/shards"
    return f"{where}: all that is planned, so nothing has to be rendered. {doing}\n{refill}"


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
