"""Presets: complete parameter files that ship."""

from typing import TYPE_CHECKING, Annotated

import typer

from pipeline import printable
from pipeline.cli import text

if TYPE_CHECKING:
    from pipeline.commands.presets import Difference, Preset

commands = typer.Typer(help="Parameter files that ship: list them, show one, use one, or compare params.yaml with one.")
Name = Annotated[str, typer.Argument(help="A preset's name, see: gen-fedsd preset list")]


@commands.command("list")
def listed() -> None:
    """Print every preset and what it is."""
    from pipeline.commands import presets

    text.echo(listed_text(presets.listed()))


@commands.command()
def show(name: Name) -> None:
    """Print a preset: what it is, what it needs, what it costs, and its values."""
    from pipeline.commands import presets

    text.echo(presets.text(name).rstrip("\n"))


@commands.command()
def use(name: Name) -> None:
    """Make a preset this folder's params.yaml, unless edits would be lost."""
    from pipeline.commands import presets
    from pipeline.workspace import Workspace

    workspace = Workspace()
    changed = presets.use(workspace, name)
    what = f"is now the preset {name}" if changed else f"is the preset {name} already"
    text.echo(f"{workspace.params} {what}; next: gen-fedsd partition && gen-fedsd status --estimate, or dvc repro")


@commands.command()
def diff(name: Name) -> None:
    """Print the values of params.yaml that differ from a preset's."""
    from pipeline.commands import presets
    from pipeline.workspace import Workspace

    text.echo(diff_text(name, presets.diff(Workspace(), name)))


def listed_text(found: "tuple[Preset, ...]") -> str:
    """Return a line for each preset."""
    rows = [("preset", "images", "A100", "what")]
    rows += [(one.name, one.images or "-", one.gpu_time or "-", one.what) for one in found]
    return f"{text.table(rows, right=(1, 2))}\ngen-fedsd preset show NAME says what it needs"


def diff_text(name: str, found: "tuple[Difference, ...]") -> str:
    """Return a table of the values that differ."""
    if not found:
        return f"params.yaml has the values of the preset {name}"
    rows = [("parameter", "params.yaml", name)]
    rows += [(one.name, printable.line(str(one.here)), printable.line(str(one.there))) for one in found]
    return text.table(rows)
