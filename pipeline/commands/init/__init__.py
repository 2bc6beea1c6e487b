"""Command ``init``: look at a data set, propose parameters, and lay out a workspace that runs.

Nothing is written before the data set is read and the proposal is checked.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from pipeline import params as parameters
from pipeline import shipped, yaml_file
from pipeline.artifacts import pairs
from pipeline.clients.partition import partition
from pipeline.commands import estimate, presets
from pipeline.commands.estimate import Estimate
from pipeline.commands.init import layout, look, proposal
from pipeline.commands.init.layout import LaidOut
from pipeline.commands.init.look import Asked, Found
from pipeline.params import Params
from pipeline.workspace import Workspace

__all__ = ["Asked", "Done", "Found", "init"]


@dataclass(frozen=True)
class Done:
    """What was found, proposed and written."""

    params: Params
    place: Path
    """Of params.yaml."""
    changed: bool
    """Whether params.yaml was written; else it is as it was."""
    laid_out: LaidOut
    found: Found | None = None
    """None for the demo, and for a params.yaml that is kept."""
    remarks: tuple[str, ...] = ()
    """What was chosen and why, in sentences."""
    estimate: Estimate | None = None


def init(workspace: Workspace, asked: Asked | None, model: str | None, dvc: bool) -> Done:
    """Look at the data set that is asked for, write params.yaml and lay out what a workspace needs beside it.

    Without a data set, an existing params.yaml stays, and else it is the demo's. Raises ParameterError if there is no
    such model or edits of params.yaml would be lost, DataError if the data set cannot be read; nothing is written then.
    """
    proposal.check_model(workspace, model)
    if asked is None:
        return _without_data(workspace, model, dvc)
    if workspace.params.is_file():
        presets.refuse_to_lose(workspace.params)
    found = look.look(workspace, asked)
    proposed = proposal.propose(workspace, found, model)
    read = parameters.check(yaml_file.parse(proposed.text, "the proposal"), workspace.params)
    cost = _estimate(workspace, found, read)
    laid_out = layout.lay_out(workspace, read, dvc, proposed.files)
    changed = presets.write(workspace, proposed.text)
    return Done(read, workspace.params, changed, laid_out, found, proposed.remarks, cost)


def _without_data(workspace: Workspace, model: str | None, dvc: bool) -> Done:
    if workspace.params.is_file():
        return Done(read := parameters.load(workspace.params), workspace.params, False, _lay_out(workspace, read, dvc))
    text = proposal.demo(workspace, model)
    read = parameters.check(yaml_file.parse(text, "the demo"), workspace.params)
    laid_out = _lay_out(workspace, read, dvc)
    return Done(read, workspace.params, presets.write(workspace, text), laid_out)


def _lay_out(workspace: Workspace, read: Params, dvc: bool) -> LaidOut:
    return layout.lay_out(workspace, read, dvc, {})


def _estimate(workspace: Workspace, found: Found, read: Params) -> Estimate:
    """Return what the proposal would cost, by the partition that it asks for; bad pictures are not known yet."""
    train = found.images
    classes = len(train.class_names)
    usable = np.flatnonzero(train.labels >= 0)
    domains = None if train.domains is None else train.domains.at(train.split_rows[usable])
    labels = train.labels[usable]
    rows, clients = partition(labels, classes, read.partition, read.seed, domains=domains)
    columns = pairs.of(labels, None if domains is None else domains.numbers, classes)
    names = () if domains is None else domains.names
    held = np.zeros((read.partition.clients or 0, pairs.number(classes, len(names))), np.int64)
    np.add.at(held, (clients, columns[rows]), 1)
    ships = read.generate.model == proposal.DEMO_MODEL
    place = replace(workspace, origin=shipped.root()) if ships else workspace  # it is laid out later
    return estimate.estimate(place, read, held, found.size, names)
