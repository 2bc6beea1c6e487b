"""Look after the store of finished training runs."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import ParameterError
from pipeline.federated.runs import RunStore, StoredRun
from pipeline.workspace import Workspace

_DAY = 86_400


@dataclass(frozen=True)
class Stats:
    """How much the store holds."""

    path: Path
    runs: int
    disk_bytes: int


@dataclass(frozen=True)
class Collected:
    """What was deleted, or would be."""

    runs: int
    disk_bytes: int


def stats(workspace: Workspace) -> Stats:
    """Return how much the store holds."""
    entries = RunStore(workspace.runs).entries()
    return Stats(workspace.runs, len(entries), sum(entry.disk_bytes for entry in entries))


def list_runs(workspace: Workspace) -> list[StoredRun]:
    """Return the runs, that which was used longest ago first."""
    return RunStore(workspace.runs).entries()


def gc(workspace: Workspace, chosen: Sequence[str], older_than: float | None, dry_run: bool) -> Collected:
    """Delete these runs, those not used for so many days, or (both given) those that are both; return what is deleted.

    ``chosen`` are beginnings of digests. With ``dry_run`` nothing is deleted. Raises ParameterError if nothing is
    chosen, or a beginning is that of no run or of several.
    """
    if not chosen and older_than is None:
        raise ParameterError("nothing chosen", "gen-fedsd runs gc", "give --run, --older-than, or both")
    store = RunStore(workspace.runs)
    entries = store.entries()
    wanted = {_only(beginning, entries) for beginning in chosen}
    before = time.time() - (older_than or 0) * _DAY
    found = [entry for entry in entries if not wanted or entry.digest in wanted]
    found = [entry for entry in found if older_than is None or entry.used <= before]
    for entry in [] if dry_run else found:
        store.delete(entry)
    return Collected(len(found), sum(entry.disk_bytes for entry in found))


def _only(beginning: str, entries: Sequence[StoredRun]) -> str:
    """Return the digest of the only run whose digest begins so."""
    matches = [entry.digest for entry in entries if beginning and entry.digest.startswith(beginning)]
    if len(matches) != 1:
        what = f"{len(matches)} runs have a digest that begins with {beginning!r}"
        raise ParameterError(what, f"--run {beginning}", "gen-fedsd runs list shows them")
    return matches[0]
