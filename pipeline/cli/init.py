"""Start: a workspace for a data set, or for the demo."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline import printable
from pipeline.cli import text

if TYPE_CHECKING:
    from pipeline.commands.init import Done, Found

commands = typer.Typer()
_MOST = 30


@commands.command()
def init(
    data: Annotated[
        str | None, typer.Option(help="A folder of images, or a Hub id; default: the demo, or params.yaml as it is.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="A folder or Hub id of a text-to-image model; default: Stable Diffusion 1.5.")
    ] = None,
    revision: Annotated[str | None, typer.Option(help="Of a data set on the Hub: branch, tag or commit.")] = None,
    config: Annotated[
        str | None, typer.Option(help="Of a data set on the Hub that has several configurations.")
    ] = None,
    image_column: Annotated[str | None, typer.Option(help="The column of the pictures.")] = None,
    label_column: Annotated[str | None, typer.Option(help="The column of the classes.")] = None,
    group_column: Annotated[str | None, typer.Option(help="The column of the domains.")] = None,
    dvc: Annotated[
        bool, typer.Option("--dvc/--no-dvc", help="Make the folder a DVC repository if it is in none.")
    ] = True,
) -> None:
    """Look at a data set, propose params.yaml for it, and lay out a workspace that runs in this folder."""
    from pipeline.commands import init
    from pipeline.workspace import Workspace

    asked = None
    if data is not None:
        asked = init.Asked(data, revision, config, image_column, label_column, group_column)
    text.echo(done_text(init.init(Workspace(), asked, model, dvc)))


def done_text(done: "Done") -> str:
    """Return what was found, what it would cost, what was chosen, and what to do next."""
    parts: list[str] = []
    if done.found is not None:
        parts += [*_found(done.found), ""]
    if done.estimate is not None:
        from pipeline.cli import estimate_text

        parts += [estimate_text.shown(done.estimate), ""]
    parts += [printable.line(remark) for remark in done.remarks]
    if done.laid_out.files:
        parts.append(f"written beside it: {', '.join(done.laid_out.files)}")
    if done.laid_out.dvc:
        parts.append("this folder is a DVC repository now")
    where = f"{done.place} is {'written' if done.changed else 'as it was'}"
    parts.append(f"{where}; look at it, then run: dvc repro")
    return "\n".join(parts)


def _found(found: "Found") -> Iterable[str]:
    """Return the classes with the words for them, and what else the data set is, line by line."""
    import numpy as np

    from pipeline.generation import words

    names = found.images.class_names
    counts = [np.bincount(one.labels[one.labels >= 0], minlength=len(names)) for one in (found.images, found.test)]
    spoken = words.for_classes(names, {})
    rows = [("label", "class name", "in prompts", "train", "test")]
    numbered = zip(names, spoken, *(each.tolist() for each in counts), strict=True)
    rows += [
        (str(label), name, said, f"{train:,}", f"{test:,}") for label, (name, said, train, test) in enumerate(numbered)
    ]
    yield text.table(rows[: _MOST + 1], right=(3, 4))
    if len(rows) > _MOST + 1:
        yield f"and {len(rows) - _MOST - 1} more classes"
    kinds = f"modes {_kinds(found.modes)}, sizes {_kinds(found.sizes)}"
    yield f"{found.data.path}: splits {', '.join(found.split_names)}; of {found.sampled} pictures: {kinds}"
    if found.bad:
        yield f"{found.bad} of them cannot be decoded; gen-fedsd partition lists all such (data.on_bad)"
    if found.columns:
        yield f"other columns: {', '.join(map(printable.line, found.columns))}"
    if found.images.domains is not None:
        yield f"domains: {', '.join(map(printable.line, found.images.domains.names))}"
    yield from map(
        printable.line, (*found.images.remarks, *(f"not read: {one.path}" for one in found.images.skipped[:5]))
    )


def _kinds(counts: "tuple[tuple[str, int], ...]") -> str:
    return ", ".join(f"{kind} ({count})" for kind, count in counts[:3]) + (", ..." if len(counts) > 3 else "")
