"""Stage ``deficits``: count what each client lacks under a target rule."""

from pipeline import progress
from pipeline.artifacts import partition
from pipeline.artifacts.deficits import Deficits
from pipeline.clients.deficits import deficits
from pipeline.generation import words
from pipeline.params import Params
from pipeline.workspace import Workspace


def run(workspace: Workspace, params: Params) -> None:
    """Read the partition, write the deficits.

    Raises ParameterError if images are asked for of a class whose name says nothing to a model.
    """
    source = partition.load(workspace.partition)
    overrides = words.read(workspace, params.generate)
    spoken = words.for_classes(source.class_names, overrides)
    have = source.counts()
    want, missing = deficits(have, params.deficits)
    words.check_named(source.class_names, overrides, [bool(column.any()) for column in missing.T])
    Deficits(have, want, missing, source.class_names, spoken).save(workspace.deficits)
    progress.say(f"deficits: {missing.sum()} images to make for {(missing.sum(axis=1) > 0).sum()} clients")
