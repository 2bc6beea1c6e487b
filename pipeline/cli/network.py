"""How long recorded rounds take on networks."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli import options, text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.commands.network import Times, Written
    from pipeline.evaluation.network.profiles import Profile

commands = typer.Typer(help="Time the recorded rounds on networks, and record who would drop out.")


@commands.command()
def profiles() -> None:
    """List the network profiles that come with the package."""
    from pipeline.commands import network

    text.echo(profiles_text(network.every_profile()))


@commands.command()
def times() -> None:
    """Print how long the recorded rounds take on each profile of network.profiles."""
    workspace, params = options.parameters()
    from pipeline.commands import network

    text.echo(times_text(network.times(workspace, params)))


@commands.command()
def dropouts(
    out: Annotated[Path, typer.Option(help="The CSV file to write, for train.dropouts.")],
    profile: Annotated[str | None, typer.Option(help="A profile; default: the first of network.profiles.")] = None,
) -> None:
    """Write which updates do not arrive by network.deadline, or after network.first others."""
    workspace, params = options.parameters()
    from pipeline.commands import network

    text.echo(written_text(network.record(workspace, params, profile, out)))


def profiles_text(found: "Sequence[Profile]") -> str:
    """Return a table with a line for each profile: its lowest, middle and highest quantile."""
    rows = [("profile", "quantiles", "down, Mbit/s", "up, Mbit/s", "round trip, ms", "loss", "source")]
    for one in found:
        loss = "" if one.loss is None else _ends(one.loss)
        shown = (_ends(one.quantiles), _ends(one.down), _ends(one.up), _ends(one.rtt), loss)
        rows.append((one.name, *shown, one.source.partition(";")[0]))
    return text.table(rows)


def times_text(found: "Sequence[Times]") -> str:
    """Return a table with a line for each profile and arm."""
    rows = [("profile", "algorithm", "budget", "fill", "seconds a round", "10 % to 90 %", "hours in all", "dropped")]
    for one in found:
        low, middle, high = one.seconds
        spread = f"{_short(low)} to {_short(high)}"
        shown = (_short(middle), spread, _short(one.hours), f"{100 * one.dropped:.1f} %")
        rows.append((one.profile, one.algorithm, one.budget, one.fill, *shown))
    return text.table(rows)


def written_text(done: "Written") -> str:
    """Return what was written."""
    share = f"{done.dropouts:,} of {done.participations:,} updates of {done.runs} runs do not arrive ({done.profile})"
    lines = [f"{done.path}: {share}"]
    if done.ended_early:
        lines.append(f"{done.ended_early} runs ended before the last round: all updates of later rounds arrive")
    lines.append(f"to train so: train.dropouts: {done.path}")
    return "\n".join(lines)


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _ends(values: "Sequence[float]") -> str:
    """Return the lowest, middle and highest of ascending values, or the only one."""
    if len(values) == 1:
        return f"{values[0]:g}"
    return " / ".join(f"{value:g}" for value in (values[0], values[len(values) // 2], values[-1]))
