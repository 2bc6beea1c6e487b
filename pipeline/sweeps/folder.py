"""The folder of a sweep: the numbers of its cells, their states, and the locks that keep work from being done twice."""

import fcntl
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pipeline import atomic
from pipeline.errors import ArtifactError
from pipeline.sweeps.grid import Cell

State = Literal["done", "failed", "running", "open"]
STATES: tuple[State, ...] = ("done", "failed", "running", "open")
_REPAIR = "delete the file; its cells are then carried out again, with what is paid for taken from the cache"
_TRIES = 5  # to get a lock that somebody may only look at
_PAUSE = 0.02  # seconds between them


@dataclass(frozen=True)
class Place:
    """The folder of one cell."""

    number: int
    folder: Path

    @property
    def params(self) -> Path:
        return self.folder / "params.yaml"

    @property
    def rows(self) -> Path:
        """Its rows of the table of results."""
        return self.folder / "results.parquet"

    @property
    def curves(self) -> Path:
        """Its rows of the table of curves."""
        return self.folder / "curves.parquet"

    @property
    def log(self) -> Path:
        """What its stages said when it was last carried out."""
        return self.folder / "log.txt"

    @property
    def done(self) -> Path:
        """What it was carried out with; written last."""
        return self.folder / "done.json"

    @property
    def failed(self) -> Path:
        """Why it failed."""
        return self.folder / "failed.json"

    def state(self, cell: Cell) -> State:
        """Return how far the cell is: whoever carries it out holds its lock, which the system releases at its death."""
        if _held(self.folder / "lock"):
            return "running"
        if self.made_with(cell) is not None:
            return "done"
        return "failed" if self.error(cell) is not None else "open"

    def made_with(self, cell: Cell) -> Mapping[str, str] | None:
        """Return the code, arithmetic and content that a finished cell was made with; None if it is not done."""
        found = _read(self.done)
        if not found or found.get("whole") != cell.whole or not (self.rows.is_file() and self.curves.is_file()):
            return None
        made_with = found.get("made with")
        return made_with if isinstance(made_with, dict) else None

    def error(self, cell: Cell) -> str | None:
        """Return why the cell failed, in one line; None if it did not."""
        found = _read(self.failed)
        return str(found["error"]) if found and found.get("whole") == cell.whole else None

    def finish(self, cell: Cell, made_with: Mapping[str, str]) -> None:
        """Write that the cell is done."""
        text = json.dumps({"whole": cell.whole, "made with": dict(made_with)}, indent=2)
        atomic.write_text(self.done, f"{text}\n")

    def fail(self, cell: Cell, error: str) -> None:
        """Write why the cell failed."""
        atomic.write_text(self.failed, json.dumps({"whole": cell.whole, "error": error}, indent=2) + "\n")

    def reopen(self) -> None:
        """Forget that the cell is done or failed."""
        for path in (self.done, self.failed):
            path.unlink(missing_ok=True)

    @contextmanager
    def taken(self) -> Iterator[bool]:
        """Hold the cell's lock while the block runs; yield False, without it, if another process carries it out."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with _locked(self.folder / "lock", wait=False) as held:
            yield held


class SweepFolder:
    """The folder of one sweep."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def record(self) -> Path:
        """The numbers of all cells that the sweep ever had, and what they were carried out with."""
        return self.folder / "sweep.json"

    @property
    def results(self) -> Path:
        return self.folder / "results.parquet"

    @property
    def curves(self) -> Path:
        return self.folder / "curves.parquet"

    @property
    def network(self) -> Path:
        """The times of all runs on each profile."""
        return self.folder / "network.parquet"

    @property
    def page(self) -> Path:
        return self.folder / "sweep.html"

    def place(self, number: int) -> Place:
        """Return the folder of the cell with a number."""
        return Place(number, self.folder / "cells" / f"{number:04}")

    def read(self) -> dict[str, Any]:
        """Return what the record says, nothing for a new sweep; raise ArtifactError if it is damaged."""
        found = _read(self.record)
        if found is None and self.record.exists():
            raise ArtifactError("damaged", self.record, _REPAIR)
        return found or {}

    def numbers(self) -> dict[str, int]:
        """Return the number of each cell that the sweep ever had, by its digest."""
        return {str(digest): int(number) for digest, number in self.read().get("cells", {}).items()}

    def enrol(self, cells: Sequence[Cell]) -> dict[str, int]:
        """Return the number of each cell by its digest; new ones get the next numbers, in the order given."""
        known = self.numbers()
        for cell in cells:
            known.setdefault(cell.digest, max(known.values(), default=0) + 1)
        self.write(cells=known)
        return known

    def write(self, **entries: Any) -> None:
        """Change entries of the record; the caller holds the sweep's lock."""
        found = {**self.read(), **entries}
        if found != _read(self.record):
            atomic.write_text(self.record, json.dumps(found, indent=2) + "\n")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock of the record and of the tables while the block runs; wait for it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with _locked(self.folder / "lock", wait=True):
            yield


def _read(path: Path) -> dict[str, Any] | None:
    """Return what a JSON file holds; None if it is absent or damaged."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


@contextmanager
def _locked(path: Path, wait: bool) -> Iterator[bool]:
    """Hold a lock while the block runs; yield whether it was got. The file stays, so that nobody locks a deleted one.

    Raises ArtifactError where the file system has no locks.
    """
    try:
        lock = atomic.created(path)
    except OSError as error:
        raise ArtifactError(f"cannot be written ({error.strerror})", path, "check the rights") from None
    try:
        yield _lock(lock, path, wait)
    finally:
        os.close(lock)


def _lock(lock: int, path: Path, wait: bool) -> bool:
    for _ in range(_TRIES):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            time.sleep(_PAUSE)
        except OSError as error:
            fix = "use a folder on a file system with locks, else two processes would do the same work"
            raise ArtifactError(f"cannot be locked ({error.strerror})", path, fix) from None
        else:
            return True
    return False


def _held(path: Path) -> bool:
    """Tell whether a process holds a lock; for a moment this holds it too, which :func:`_lock` allows for."""
    try:
        lock = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(lock)
    return False
