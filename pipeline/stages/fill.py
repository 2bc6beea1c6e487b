"""Stage ``fill``: say which images each client trains on, with one fill."""

from pipeline import fills, ledger, progress
from pipeline.fills.common.given import Given
from pipeline.params import Params
from pipeline.workspace import Workspace


@ledger.accounted("fill {fill}")
def run(workspace: Workspace, params: Params, fill: str) -> None:
    """Write the holdings of one fill, and of the fill whose weights its training starts from."""
    given = Given(workspace, params)
    made = fills.make(fill, given)
    for one in (fills.make(made.start, given), made) if made.start else (made,):
        one.save(workspace.fill(one.fill))
        held = ", ".join(f"{sum(map(len, rows))} {name}" for name, rows in one.rows.items())
        holders = "1 client holds" if one.clients == 1 else f"{one.clients} clients hold"
        progress.say(f"fill {one.fill}: {holders} {held} images")
