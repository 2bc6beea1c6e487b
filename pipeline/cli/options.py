"""What several commands share: options, and the parameters of the workspace, checked before anything runs."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:  # pydantic takes a third of a second to load
    from pipeline.params import Params
    from pipeline.workspace import Workspace

Devices = Annotated[
    str,
    typer.Option(envvar="GEN_FEDSD_DEVICES", help="auto, cpu, cpu*2, cuda, cuda:0,cuda:1: one worker for each."),
]
Workers = Annotated[
    int,
    typer.Option(
        envvar="GEN_FEDSD_WORKERS",
        min=0,
        help="Processes that train clients; 0: one for each GPU, or for each CPU core where there is none.",
    ),
]
CheckpointEvery = Annotated[
    int, typer.Option(min=1, help="Rounds between checkpoints, from which a run that was stopped resumes.")
]
Fill = Annotated[
    str | None, typer.Option(help="A fill; default: all in train.fills and train.references of params.yaml.")
]
Algorithm = Annotated[
    str | None, typer.Option(help="fedavg, fedprox, scaffold, fednova, ...; default: fedavg with --fill, else all.")
]


class Kind(StrEnum):
    """What a fingerprint is of."""

    IMAGES = "images"
    WORDS = "words"
    DROPOUTS = "dropouts"
    MODEL = "model"
    JUDGE = "judge"


Kinds = Annotated[
    list[Kind] | None, typer.Argument(help="Of images, words for classes, drop-outs, model, judge; default: all.")
]
Client = Annotated[int, typer.Option(help="The client's number.")]
Recipes = Annotated[list[str] | None, typer.Option("--recipe", help="A recipe's digest or its beginning; repeatable.")]
Repository = Annotated[str, typer.Option("--repo-id", help="OWNER/NAME of a data set on the Hub.")]
OlderThan = Annotated[float | None, typer.Option(min=0, help="Only what was stored at least so many days ago.")]
DryRunOfDeletion = Annotated[bool, typer.Option("--dry-run", help="Only print what would be deleted.")]


def parameters(fill: str | None = None, algorithm: str | None = None) -> tuple["Workspace", "Params"]:
    """Return the workspace of the current directory and its parameters.

    Raises ParameterError, before anything else is imported, if params.yaml cannot be used, or if it or an option names
    a fill or an algorithm that does not exist.
    """
    from pipeline import params
    from pipeline.workspace import Workspace

    workspace = Workspace()
    read = params.load(workspace.params)
    from pipeline import fills
    from pipeline.federated import algorithms

    where = f"{workspace.params}, train"
    for key in ("fills", "references", "alone"):
        fills.check(getattr(read.train, key), f"{where}.{key}")
    for names, key in ((read.train.algorithms, "algorithms"), (tuple(read.train.options), "options")):
        algorithms.check(names, f"{where}.{key}")
    if fill is not None:
        fills.check((fill,), "--fill")
    if algorithm is not None:
        algorithms.check((algorithm,), "--algorithm")
    return workspace, read
