"""Stage ``deficits``: count what each client lacks under a target rule."""

from pipeline import progress
from pipeline.artifacts import partition
from pipeline.artifacts.deficits import Deficits
from pipeline.clients.deficits import deficits
from pipeline.params import Params
from pipeline.workspace import Workspace


def run(workspace: Workspace, params: Params) -> None:
    """Read the partition, write the deficits."""
    source = partition.load(workspace.partition)
    have = source.counts()
    want, missing = deficits(have, params.deficits)
    Deficits(have, want, missing, source.class_names).save(workspace.deficits)
    progress.say(f"deficits: {missing.sum()} images to make for {(missing.sum(axis=1) > 0).sum()} clients")
