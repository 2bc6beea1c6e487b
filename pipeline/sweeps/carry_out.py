"""Carry out one cell: run the stages in its folder, then write its rows of the tables."""

import contextlib
import os
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import yaml

from pipeline import atomic
from pipeline.errors import ArtifactError, PipelineError
from pipeline.sweeps import rows
from pipeline.sweeps.folder import Place
from pipeline.sweeps.grid import Cell
from pipeline.workspace import Workspace

_TRACE = "see the traceback in {}"


@dataclass(frozen=True)
class Execution:
    """With what cells are carried out; it changes no byte."""

    devices: tuple[str, ...]
    """A name for each worker that renders."""
    workers: int
    """Processes that train clients."""


def workspace_of(project: Workspace, place: Place) -> Workspace:
    """Return a cell's folder as a workspace, with the project's cache and the project's places."""
    return Workspace(place.folder, project.cache, origin=project.origin or project.root)


def carry_out(
    project: Workspace,
    place: Place,
    cell: Cell,
    execution: Execution,
    look: Callable[[Cell], Mapping[str, str]],
    tidy: Callable[[Workspace], str],
) -> str:
    """Carry out a cell whose lock is held, and return how it ended, in one line.

    ``look`` returns what it is made with, ``tidy`` deletes what is needed no more and says what.
    What the stages say goes to the cell's log. An interrupt leaves the cell open; what is paid for by then is in the
    cache.
    """
    place.reopen()
    workspace = workspace_of(project, place)
    try:
        with _log(place):
            try:
                made_with = look(cell)
                _stages(workspace, place, cell, execution)
                told = tidy(workspace)
            except Exception:
                traceback.print_exc()
                raise
    except PipelineError as error:
        return _failed(place, cell, str(error))
    except Exception as error:  # a bug of ours in one cell costs the others nothing
        text = " ".join(str(error).split())
        return _failed(place, cell, f"{type(error).__name__}: {text}: {_TRACE.format(place.log)}")
    place.finish(cell, made_with)
    return told


def _failed(place: Place, cell: Cell, error: str) -> str:
    place.fail(cell, error)
    return f"failed: {error}"


def _stages(workspace: Workspace, place: Place, cell: Cell, execution: Execution) -> None:
    from pipeline.federated.workers import ExecutionOptions
    from pipeline.stages import deficits, evaluate, fill, generate, partition, train

    params = cell.params
    text = yaml.safe_dump(params.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    atomic.write_text(place.params, f"# Cell {place.number}: {cell.title}\n{text}")
    partition.run(workspace, params)
    deficits.run(workspace, params)
    generate.run(workspace, params, list(execution.devices))
    if cell.evaluate:
        evaluate.run(workspace, params, execution.devices[0])
    for name in params.train.all_fills():
        fill.run(workspace, params, name)
    options = ExecutionOptions(execution.workers)
    for name, algorithm in params.train.pairs():
        train.run(workspace, params, name, algorithm, options)
    for name in params.train.alone:
        train.run_alone(workspace, params, name, options)
    rows.write(workspace, params, place.rows, place.curves)


@contextlib.contextmanager
def _log(place: Place) -> Iterator[None]:
    """Send what is said on stderr to the cell's log while the block runs; raise ArtifactError if that is impossible."""
    try:
        descriptor = os.open(place.log, os.O_CREAT | os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise ArtifactError(f"cannot be written ({error.strerror})", place.log, "check the rights") from None
    file = os.fdopen(descriptor, "w", buffering=1, encoding="utf-8", errors="backslashreplace")
    with file, contextlib.redirect_stderr(file):
        yield
