"""Stage ``deficits``: count what each client lacks under a target rule."""

from pipeline import ledger, progress
from pipeline.artifacts import partition
from pipeline.artifacts.deficits import Deficits
from pipeline.clients.deficits import deficits, surplus
from pipeline.errors import ParameterError
from pipeline.generation import words
from pipeline.params import Params
from pipeline.reporting.deficits import rule, unheld
from pipeline.workspace import Workspace

MOST = 10**8
"""Images to make, beyond which no machine could."""


@ledger.accounted("deficits")
def run(workspace: Workspace, params: Params) -> None:
    """Read the partition, write the deficits.

    Raises ParameterError if there were more images to make than can be, or if they are asked for of a class whose name
    says nothing to a model.
    """
    source = partition.load(workspace.partition)
    overrides = words.read(workspace, params.generate)
    spoken = words.for_classes(source.class_names, overrides)
    have = source.counts()
    want, missing = deficits(have, params.deficits, params.seed)
    if missing.sum() > MOST:
        fix = "set deficits.max_per_client or deficits.max_total, or lower the rule's target"
        raise ParameterError(f"{missing.sum():,} images to make, at most {MOST:,}", "params.yaml, deficits", fix)
    words.check_named(source.class_names, overrides, [bool(column.any()) for column in missing.T])
    given_up = surplus(have, want, missing, params.deficits, params.seed)
    made = Deficits(have, want, missing, given_up, source.class_names, spoken)
    made.save(workspace.deficits)
    if nobody := unheld(have, source.class_names):
        progress.say(f"deficits: classes that no client has are lacked by nobody: {nobody}")
    progress.say(f"deficits: {rule(made.lacking, params.deficits)}")
    progress.say(f"deficits: {missing.sum()} images to make for {(missing.sum(axis=1) > 0).sum()} clients")
    if given_up.any():
        progress.say(f"deficits: {given_up.sum()} real images of these clients are left out in their place")
