"""Command ``status --ledger``: what was spent in a workspace, printed and as a page."""

from dataclasses import dataclass
from pathlib import Path

from pipeline import atomic
from pipeline.reporting import ledger_page, spending, spending_tables
from pipeline.reporting.tables import Table
from pipeline.workspace import Workspace


@dataclass(frozen=True)
class Ledger:
    """What the ledger, the disk and the last report say together."""

    stages: Table
    whole: str
    """What all stages did together."""
    methods: tuple[str, ...]
    """How energy was found out."""
    stored: Table
    price: str
    """Of the images, in one sentence."""
    points: Table
    """Of a point of accuracy; without rows if no gain is known."""
    damaged: int
    """Lines of the ledger that cannot be read."""
    page: Path


def show(workspace: Workspace) -> Ledger:
    """Return what was spent so far, and write the ledger's page; raise ArtifactError for a damaged artifact."""
    found = spending.of(workspace)
    atomic.write_text(workspace.ledger_page, ledger_page.render(found))
    return Ledger(
        spending_tables.stages(found),
        spending_tables.whole(found),
        tuple(spending_tables.methods(found)),
        spending_tables.stored(found),
        spending_tables.price(found.price),
        spending_tables.points(found),
        found.damaged,
        workspace.ledger_page,
    )
