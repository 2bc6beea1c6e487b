"""Stage ``fill``: say which images each client trains on, with one fill."""

from pipeline import fills, progress
from pipeline.fills.common.given import Given
from pipeline.params import Params
from pipeline.workspace import Workspace


def run(workspace: Workspace, params: Params, fill: str) -> None:
    """Write the holdings of one fill."""
    made = fills.make(fill, Given(workspace, params))
    made.save(workspace.fill(fill))
    held = ", ".join(f"{sum(map(len, rows))} {name}" for name, rows in made.rows.items())
    holders = "1 client holds" if made.clients == 1 else f"{made.clients} clients hold"
    progress.say(f"fill {fill}: {holders} {held} images")
