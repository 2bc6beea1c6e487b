"""How values look in a terminal."""

from collections.abc import Sequence
from datetime import UTC, datetime


def table(rows: Sequence[Sequence[str]], right: bool = False) -> str:
    """Return rows of equally many cells as lines with aligned columns, left or right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = (cell.rjust(width) if right else cell.ljust(width) for cell, width in zip(row, widths, strict=True))
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
