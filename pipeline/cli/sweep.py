"""Sweeps: a grid over parameters, whose cells are carried out once."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli import options, text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.sweeps.forecast import Forecast
    from pipeline.sweeps.grid import Cell
    from pipeline.sweeps.runner import Plan, Told

commands = typer.Typer(help="Carry out a grid of experiments: sweeps/NAME.yaml.")
Name = Annotated[str, typer.Argument(help="A sweep of the folder sweeps, or the path of a sweep's YAML file.")]
Cells = Annotated[str | None, typer.Option(help="Only these cells, by number: 3,5-8.")]
Jobs = Annotated[int, typer.Option(min=1, help="Processes that carry out cells at the same time.")]


@commands.command()
def run(
    name: Name,
    jobs: Jobs = 1,
    cells: Cells = None,
    devices: options.Devices = "auto",
    workers: options.Workers = 0,
    redo: Annotated[bool, typer.Option("--redo", help="Carry out all cells again, finished ones too.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print the cells, and what of them is new.")] = False,
) -> None:
    """Carry out the cells that are open; run it again to resume, also beside a run that is under way."""
    plan = _plan(name)
    if dry_run:
        from pipeline.sweeps import forecast

        text.echo(forecast_text(plan, forecast.forecast(plan, numbers(cells))))
        return
    _carry_out(plan, jobs, cells, devices, workers, redo)


@commands.command()
def retry(
    name: Name,
    failed: Annotated[bool, typer.Option("--failed", help="The cells that failed.")] = False,
    jobs: Jobs = 1,
    cells: Cells = None,
    devices: options.Devices = "auto",
    workers: options.Workers = 0,
) -> None:
    """Carry out cells that failed once more, and any chosen ones whatever their state."""
    from pipeline.errors import ParameterError
    from pipeline.sweeps import runner

    if not failed and cells is None:
        raise ParameterError("nothing chosen", "gen-fedsd sweep retry", "add --failed, or --cells with numbers")
    plan = _plan(name)
    count = runner.reopen(plan, numbers(cells), only_failed=failed)
    text.echo(f"{count} cells are open again")
    _carry_out(plan, jobs, cells, devices, workers, redo=False)


@commands.command()
def status(name: Name) -> None:
    """Print the state of each cell, and why cells failed."""
    text.echo(status_text(_plan(name)))


@commands.command()
def page(name: Name) -> None:
    """Write the page of the cells that are done."""
    from pipeline.sweeps import page

    text.echo(str(page.write(_plan(name))))


@commands.command()
def publish(
    name: Name,
    to: Annotated[Path, typer.Option(help="The folder, such as docs/results/NAME; files of these names are replaced.")],
) -> None:
    """Write the page, the tables, and what the page says as Markdown (README.md) into a folder that you commit."""
    from pipeline.sweeps import page

    for path in page.publish(_plan(name), to):
        text.echo(str(path))


def numbers(given: str | None) -> list[int] | None:
    """Return the numbers that a text such as ``3,5-8`` lists; raise ParameterError for another text."""
    from pipeline.errors import ParameterError

    if given is None:
        return None
    found = list[int]()
    for part in given.split(","):
        numbers = re.fullmatch(r"([0-9]{1,6})(?:-([0-9]{1,6}))?", part.strip())
        if numbers is None:
            raise ParameterError(f"not numbers of cells {part.strip()!r}", "--cells", "write such as 3,5-8")
        first, last = numbers.groups()
        found += range(int(first), int(last or first) + 1)
    return found


def status_text(plan: "Plan") -> str:
    """Return a table with a line for each cell, and how many are in each state."""
    states = plan.states()
    rows = [("cell", "state", *(axis.name for axis in plan.sweep.axes))]
    for cell in plan.cells:
        number = plan.numbers.get(cell.digest)
        values = (cell.labels[axis.name] for axis in plan.sweep.axes)
        rows.append(("-" if number is None else str(number), states[cell.digest], *values))
    parts = [text.table(rows), *failures(plan)]
    if gone := set(plan.numbers) - {cell.digest for cell in plan.cells}:
        parts.append(f"{len(gone)} cells of an earlier {plan.sweep.path} are kept, and are in no table")
    return "\n".join([*parts, counts_text(plan)])


def failures(plan: "Plan", cells: "Sequence[Cell] | None" = None) -> list[str]:
    """Return a line for each of these cells (default: all) that failed, with the reason."""
    chosen = plan.cells if cells is None else cells
    failed = [cell for cell in chosen if plan.state(cell) == "failed"]
    return [f"cell {plan.numbers[cell.digest]} failed: {plan.place(cell).error(cell)}" for cell in failed]


def counts_text(plan: "Plan") -> str:
    """Return how many cells are in each state, and where the tables are."""
    counts = ", ".join(f"{count} {state}" for state, count in plan.counts().items())
    return f"{plan.sweep.name}: {len(plan.cells)} cells: {counts}; tables in {plan.folder.folder}"


def told_text(told: "Told") -> str:
    """Return what happened to a cell, in one line."""
    total = sum(told.counts.values())
    counts = f"{told.counts['done']} of {total} done"
    if told.counts["failed"]:
        counts += f", {told.counts['failed']} failed"
    return f"cell {told.number} ({told.title}): {told.what} [{counts}]"


def forecast_text(plan: "Plan", forecasts: "Sequence[Forecast]") -> str:
    """Return a table of the cells, and what of them nobody has paid for."""
    from pipeline.sweeps import forecast

    rows = [("cell", "state", "images", "not in pool", "runs", "not in store", *(a.name for a in plan.sweep.axes))]
    for one in forecasts:
        values = (one.cell.labels[axis.name] for axis in plan.sweep.axes)
        known = (str(one.images), str(one.new_images), str(one.runs), one.new_runs_text)
        rows.append(("new" if one.number is None else str(one.number), one.state, *known, *values))
    return "\n".join([text.table(rows), *forecast.remarks(forecasts)])


def _plan(name: str) -> "Plan":
    """Return a sweep of the project in the working folder; the parameters of all its cells are checked."""
    from pipeline.sweeps import runner
    from pipeline.workspace import Workspace

    return runner.plan(Workspace(), name)


def _tell(told: "Told") -> None:
    from pipeline import progress

    progress.say(told_text(told))


def _carry_out(plan: "Plan", jobs: int, cells: str | None, devices: str, workers: int, redo: bool) -> None:
    from pipeline import progress
    from pipeline.sweeps import jobs as processes
    from pipeline.sweeps import runner

    helper = processes.follow_starter()
    execution = runner.execution(devices, workers, jobs)
    conditions = runner.begin(plan, execution, redo)
    chosen = plan.chosen(numbers(cells))
    beside = ["sweep", "run", str(plan.sweep.path), "--workers", str(execution.workers)]
    beside += ["--devices", ",".join(execution.devices), *(["--cells", cells] if cells else [])]
    with processes.helpers(0 if helper else jobs - 1, beside):
        runner.work(plan, chosen, execution, conditions, _tell)
    if helper:
        return
    runner.work(plan, chosen, execution, conditions, _tell)  # what helpers left that were killed
    text.echo(counts_text(plan))
    if failed := failures(plan, chosen):
        for line in failed:
            progress.say(line)
        progress.say(f"when the cause is mended: gen-fedsd sweep retry {plan.sweep.name} --failed")
        raise typer.Exit(1)
