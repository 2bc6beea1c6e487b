"""The store of finished training runs: a run is paid for once, and found by everything that decides it.

A file for each run holds its history, with the accuracy by class, and its last weights. Losing the store costs time,
never correctness.
"""

import contextlib
import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

import torch

from pipeline import progress
from pipeline.federated import state_file
from pipeline.federated.algorithm import WEIGHTS
from pipeline.federated.simulation import Run, RunState

VERSION = 5
"""Raise it when a change of code changes what a run computes; ``tests/federated/test_numbers.py`` notices a change."""
_ENDING = ".safetensors"


def digest(run: Run) -> str:
    """Return the identity of a run on this kind of hardware with this version of torch, 24 hexadecimal digits."""
    kind = "cuda" if torch.cuda.is_available() else "cpu"
    lost = [run.dropouts] if run.dropouts else []
    identity = json.dumps([VERSION, torch.__version__, kind, repr(run), *lost])
    return hashlib.sha256(identity.encode()).hexdigest()[:24]


@dataclass(frozen=True)
class StoredRun:
    """One file of the store; what is not known of a damaged one is None."""

    digest: str
    disk_bytes: int
    used: float
    """When it was written or last read, in seconds since 1970."""
    title: str
    """Stage, fill, algorithm, budget and seed for which it was trained first."""
    algorithm: str | None = None
    """With its hyper-parameters."""
    model: str | None = None
    rounds: int | None = None
    accuracy: float | None = None
    """Of the test after the last round; the mean of the clients where each is trained alone."""
    seconds: float | None = None
    """Wall time from the start of the training to the end of this run; other runs may have been trained beside it."""


class RunStore:
    """Finished runs in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get(self, run: Run) -> RunState | None:
        """Return the end of a run, or None if nobody trained it; a damaged file counts as none, and is reported."""
        path = self._path(digest(run))
        if not path.is_file():
            return None
        try:
            end = state_file.read(path)
        except state_file.DAMAGED:
            progress.say(f"{path} is damaged; this run is trained again")
            return None
        with contextlib.suppress(OSError):  # a shared store may be read-only; only its order of use is lost
            os.utime(path)
        return end

    def holds(self, run: Run) -> bool:
        """Tell whether somebody trained a run; whether its file is damaged is known when it is read."""
        return self._path(digest(run)).is_file()

    def keep(self, run: Run, end: RunState, title: str, seconds: float) -> None:
        """Keep the end of a run; raise ArtifactError if the disk is full."""
        last = end.rounds if run.alone and len(run.clients) > 1 else end.rounds[-1:]
        found = [done.accuracy for done in last if done.accuracy is not None]
        about = {
            "title": title,
            "algorithm": repr(run.algorithm),
            "model": run.model,
            "rounds": len(end.rounds),
            "accuracy": sum(found) / len(found) if found else None,
            "seconds": round(seconds, 1),
        }
        state_file.write(self._path(digest(run)), RunState({WEIGHTS: end.weights}, {}, end.rounds), about)

    def entries(self) -> list[StoredRun]:
        """Return what the store holds, that which was used longest ago first; a damaged file says so in its title."""
        found = []
        for path in self.folder.glob(f"*{_ENDING}"):
            try:
                status = path.stat()
                known = path.name.removesuffix(_ENDING), status.st_size, status.st_mtime
                found.append(StoredRun(*known, **state_file.read_about(path)))
            except FileNotFoundError:  # another process deleted it meanwhile
                continue
            except state_file.DAMAGED:
                found.append(StoredRun(*known, title="damaged"))
        return sorted(found, key=lambda one: (one.used, one.digest))

    def delete(self, entry: StoredRun) -> None:
        self._path(entry.digest).unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}{_ENDING}"
