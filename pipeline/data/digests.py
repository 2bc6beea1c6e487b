"""Digests of files that a user brings, remembered, so that unchanged gigabytes are read once.

A file is taken for unchanged while its path, size, times and inode are the same. Losing what is remembered costs time.
"""

import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import TypeVar

from pipeline import atomic, progress

T = TypeVar("T")

NAME = "digests.sqlite"
"""The file in the cache folder."""
_TABLE = "create table if not exists digests (path text primary key, state text not null, sha256 text not null)"
_SETTLED = 2_000_000_000  # nanoseconds after which a file that is written again has other times, on any file system
_THREADS = 4
_SHOWN = 1 << 28  # bytes from which a bar is shown


def sha256(paths: Sequence[Path], cache: Path) -> list[str]:
    """Return the hexadecimal SHA-256 of each file; raise OSError for one that cannot be read.

    ``cache`` is the folder where digests are remembered. One that cannot be used is named, and files are read.
    """
    keys = [str(path.resolve()) for path in paths]
    states = {key: _state(Path(key)) for key in keys}
    known = _known(cache, states)
    made = _hash([Path(key) for key in states if key not in known])
    _remember(cache, {key: states[key] for key in made if _settled(Path(key), states[key])}, made)
    return [(known | made)[key] for key in keys]


def _state(path: Path) -> str:
    """Return what changes whenever a file is written."""
    found = path.stat()
    return f"{found.st_size} {found.st_mtime_ns} {found.st_ctime_ns} {found.st_ino}"


def _settled(path: Path, state: str) -> bool:
    """Return whether a file is as it was before it was read, and old enough for a later change to be seen."""
    newest = max(path.stat().st_mtime_ns, path.stat().st_ctime_ns)
    return _state(path) == state and time.time_ns() - newest > _SETTLED


def _hash(paths: Sequence[Path]) -> dict[str, str]:
    """Return the digest of each file by its path."""
    sizes = [path.stat().st_size for path in paths]
    if sum(sizes) < _SHOWN:
        return {str(path): atomic.sha256(path) for path in paths}
    found = {}
    with progress.bar("read files", len(paths), "files") as advance, ThreadPoolExecutor(_THREADS) as threads:
        for path, digest in zip(paths, threads.map(atomic.sha256, paths), strict=True):
            found[str(path)] = digest
            advance()
    return found


def _known(cache: Path, states: Mapping[str, str]) -> dict[str, str]:
    """Return the digests that are remembered for files in these states."""

    def find(database: sqlite3.Connection) -> dict[str, str]:
        found = {}
        for path, state in states.items():
            row = database.execute("select state, sha256 from digests where path = ?", (path,)).fetchone()
            if row is not None and row[0] == state:
                found[path] = str(row[1])
        return found

    return _with_database(cache, find) or {}


def _remember(cache: Path, states: Mapping[str, str], digests: Mapping[str, str]) -> None:
    rows = [(path, state, digests[path]) for path, state in states.items()]
    if rows:
        _with_database(cache, lambda database: database.executemany("replace into digests values (?, ?, ?)", rows))


def _with_database(cache: Path, work: Callable[[sqlite3.Connection], T]) -> T | None:
    """Return what ``work`` returns, or None where the database cannot be used; say so."""
    place = cache / NAME
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(place, timeout=60)) as database, database:
            database.execute(_TABLE)
            return work(database)
    except (OSError, sqlite3.Error) as error:
        progress.say(f"{place} cannot be used ({error}): delete it; until then, files are read again each time")
        return None
