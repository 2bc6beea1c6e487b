"""What ``status --ledger`` prints."""

from typing import TYPE_CHECKING

from pipeline.cli import text

if TYPE_CHECKING:
    from pipeline.commands.spending import Ledger
    from pipeline.reporting.tables import Table


def shown(found: "Ledger") -> str:
    """Return what was spent by stage, what is on disk, and what images and points of accuracy cost."""
    if not found.stages.rows:
        return f"nothing was spent here yet, by the ledger\n\n{_table(found.stored, 1)}"
    parts = [
        "\n".join([_table(found.stages, 2, 3, 4), "", *found.methods]),
        _table(found.stored, 1),
        "\n".join([found.price, *([_table(found.points, 2, 3, 4)] if found.points.rows else [])]),
        f"As a page: {found.page}",
    ]
    return "\n\n".join(parts)


def _table(table: "Table", *right: int) -> str:
    return text.table([table.head, *table.rows], right=right)
