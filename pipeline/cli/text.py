"""How values look in a terminal."""

import time
from collections.abc import Collection, Sequence
from datetime import UTC, datetime

import typer

from pipeline import printable

_MOST = 200
"""Characters of a cell."""


def echo(text: str) -> None:
    """Print the lines of a result on stdout; what would drive the terminal is escaped.

    A value that may hold line ends is made one line before it is put into ``text``.
    """
    typer.echo("\n".join(map(printable.escaped, text.split("\n"))))


def table(rows: Sequence[Sequence[str]], right: bool | Collection[int] = False) -> str:
    """Return rows of equally many cells as lines with aligned columns; ``right`` are all, none or some to the right."""
    shown = [[printable.line(cell, _MOST) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    to_right = (range(len(widths)) if right else ()) if isinstance(right, bool) else right
    lines = []
    for row in shown:
        cells = (cell.rjust(widths[i]) if i in to_right else cell.ljust(widths[i]) for i, cell in enumerate(row))
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def megabytes(size: float) -> str:
    """Return a size in bytes as megabytes."""
    return f"{size / 1e6:.1f} MB"


def day(seconds: float | None) -> str:
    """Return the date, in UTC, of a moment in seconds since 1970; empty for None, ``?`` for what is no year."""
    try:
        return "" if seconds is None else datetime.fromtimestamp(seconds, UTC).date().isoformat()
    except (OverflowError, OSError, ValueError):
        return "?"


def ago(seconds: float) -> str:
    """Return how long ago a moment in seconds since 1970 is, in its largest whole unit."""
    passed = time.time() - seconds
    for unit, length in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if passed >= length:
            count = int(passed // length)
            return f"{count} {unit}{'s' * (count != 1)} ago"
    return "just now"
