"""What ``status --ledger`` prints."""

import textwrap
from typing import TYPE_CHECKING

from pipeline.cli import text

if TYPE_CHECKING:
    from pipeline.commands.spending import Ledger
    from pipeline.reporting.tables import Table


_LEGEND = (
    "passed: wall time of the commands; worked: seconds for which cores or GPUs drew or trained, all together",
    "down, up: bytes that the clients of the trained federations would receive and send",
)


def shown(found: "Ledger") -> str:
    """Return what was spent by stage, what is on disk, and what images and points of accuracy cost."""
    if not found.stages.rows:
        return f"nothing was spent here yet, by the ledger\n\n{_table(found.stored, 1)}"
    parts = [
        "\n".join([_table(found.stages, 2, 3, 4), "", found.whole, *_LEGEND, *found.methods]),
        _table(found.stored, 1),
        "\n".join([*textwrap.wrap(found.price, 100), *([_table(found.points, 2, 3, 4)] if found.points.rows else [])]),
        f"As a page: {found.page}",
    ]
    return "\n\n".join(parts)


def _table(table: "Table", *right: int) -> str:
    return text.table([table.head, *table.rows], right=right)
