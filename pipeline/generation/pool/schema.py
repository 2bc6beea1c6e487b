"""The tables of a pool, and how a file that may come from anybody is opened: only these tables, within limits."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import quote

from pipeline.artifacts import spec
from pipeline.artifacts.encoded import LARGEST, Encoding
from pipeline.errors import PoolError

PLAIN, SCORED = 1, 2
"""Versions of the format: without and with a table of scores. A pool gets the table with its first score, so that other
versions of gen-fedsd read those that have none."""
_SQL = {str: "text", int: "integer", float: "real"}
_quoted = {name: '"index"' if name == "index" else name for name in spec.NAMES}  # a keyword of SQL
SPEC = ", ".join(_quoted.values())
COLUMNS = f"recipe, {SPEC}, flags, added, image"
_SPEC_TYPES = ", ".join(f"{_quoted[name]} {_SQL[kind]} not null" for name, kind in spec.TYPES.items())
KEY = 'recipe, lane, class_name, "index"'
"""The columns that name an image."""
_KEY_TYPES = 'recipe text not null, lane text not null, class_name text not null, "index" integer not null'
SCORES = f"{KEY}, judge, intended, label, probability"
"""The columns of the table of scores, in order."""
_TABLES = f"""
create table if not exists recipes (digest text primary key, recipe text not null);
create table if not exists images (
    recipe text not null, {_SPEC_TYPES}, flags text not null, added integer not null, image blob not null);
create unique index if not exists image on images ({KEY});
"""
_RATES = "create table if not exists rates (recipe text primary key, images_per_second real not null);"
_SCORES = f"""
create table if not exists scores (
    {_KEY_TYPES}, judge text not null, intended integer not null, label integer not null, probability real not null,
    primary key ({KEY}, judge, intended)
) without rowid;
"""
SCHEMA = f"{_TABLES} pragma user_version = {PLAIN};"
_KNOWN = {PLAIN: (_TABLES, _TABLES + _RATES), SCORED: (_TABLES + _SCORES, _TABLES + _RATES + _SCORES)}

FIX_THEIRS = "ask for a file that gen-fedsd pool export wrote"
_MOST_LENGTH = Encoding("png", LARGEST).most_bytes  # of a value
_STEPS = 1_000  # between two looks at the budget
_PATIENCE = 20  # parts that are copied in vain
_PAGES = 4_096  # copied at a time


def check(db: sqlite3.Connection, path: Path, fix: str) -> None:
    """Raise PoolError unless the file has the tables of a pool, of this version, and nothing else: no view, no trigger.

    A pool that an earlier version made has a table of rates too, which nobody reads.
    """
    version = db.execute("pragma user_version").fetchone()[0]
    found = set(db.execute("select type, name, tbl_name, sql from sqlite_master limit 100"))
    if found and version not in _KNOWN:
        what = f"this pool has format {version}, and this version of gen-fedsd reads formats {PLAIN} and {SCORED}"
        raise PoolError(what, path, fix)
    if found not in map(_expected, _KNOWN.get(version, ())):
        raise PoolError("this file is not a pool", path, fix)


def has_scores(db: sqlite3.Connection) -> bool:
    """Return whether a pool has a table of scores."""
    return bool(db.execute("pragma user_version").fetchone()[0] == SCORED)


def add_scores(db: sqlite3.Connection) -> None:
    """Add the table of scores, unless it is there, as a part of the transaction that is going on; no image is touched.

    The pool is of the other format from then on.
    """
    db.execute(_SCORES)
    db.execute(f"pragma user_version = {SCORED}")


def _expected(tables: str) -> set[tuple[str, str, str, str | None]]:
    with closing(sqlite3.connect(":memory:")) as db:
        db.executescript(tables)
        return set(db.execute("select type, name, tbl_name, sql from sqlite_master"))


@contextmanager
def copied(path: Path, folder: Path) -> Iterator[sqlite3.Connection]:
    """Yield a private copy of somebody's pool, whose file and tables are in order; it is deleted at the end.

    The file is read once, so that nobody changes it after it was checked. Raises PoolError if it is not a pool;
    sqlite3.Error if it is damaged, or if a query takes much longer than the size of the file explains.
    """
    with TemporaryDirectory(dir=folder, prefix=".import-") as place:
        copy = Path(place) / "copy.sqlite"
        with closing(_connect(path, "ro")) as source, closing(_connect(copy, "rwc")) as target:
            source.backup(target, pages=_PAGES, progress=_impatient())
        with closing(_connect(copy, "ro")) as db:
            _harden(db, copy.stat().st_size)
            check(db, path, FIX_THEIRS)
            if db.execute("pragma integrity_check(1)").fetchone() != ("ok",):
                raise PoolError("this pool is damaged", path, FIX_THEIRS)
            yield db


def _impatient() -> Callable[[int, int, int], None]:
    """Return what SQLite calls after each part of a copy, which it starts again whenever somebody writes the file."""
    copied = 0

    def look(_: int, __: int, pages: int) -> None:
        nonlocal copied
        copied += _PAGES
        if copied > 3 * pages + _PATIENCE * _PAGES:
            raise sqlite3.OperationalError("others write it all the time")

    return look


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    place = f"file:{quote(str(path))}?mode={mode}"
    return sqlite3.connect(place, uri=True, isolation_level=None, check_same_thread=False)


def _harden(db: sqlite3.Connection, size: int) -> None:
    """Limit what a file can make SQLite do, also while it reads the schema."""
    left = 1_000 + size // 10  # times _STEPS: reading and checking a byte takes less than one step

    def spend() -> int:
        nonlocal left
        left -= 1
        return left < 0  # a query that goes on is interrupted

    db.set_progress_handler(spend, _STEPS)
    db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _MOST_LENGTH)
    for name, value in {
        "DEFENSIVE": True,
        "TRUSTED_SCHEMA": False,
        "ENABLE_TRIGGER": False,
        "ENABLE_VIEW": False,
    }.items():
        if hasattr(db, "setconfig"):  # from Python 3.12 on; the schema is compared in any case
            db.setconfig(getattr(sqlite3, f"SQLITE_DBCONFIG_{name}"), value)
    for setting in ("trusted_schema = off", "cell_size_check = on", "query_only = on", "mmap_size = 0"):
        db.execute(f"pragma {setting}")
