"""Times as text, in the unit that reads best; the page's script writes them alike."""

import math

UNITS = (("s", 1.0, 120.0), ("min", 60.0, 7200.0), ("h", 3600.0, 172_800.0), ("days", 86_400.0, math.inf))
"""Name, seconds, and the seconds from which the next unit is used."""
HOUR = 3600.0


def unit(seconds: float) -> tuple[str, float]:
    """Return the unit in which a time is written, and its seconds."""
    return next((name, size) for name, size, end in UNITS if seconds < end)


def text(seconds: float) -> str:
    """Return such as ``41.2 s``, ``12.0 min`` or ``1,204 h``; three digits that count, or all before the point."""
    name, size = unit(seconds)
    return f"{digits(seconds / size)} {name}"


def digits(value: float) -> str:
    """Return a number with three digits that count, or all before the point."""
    return f"{value:,.{0 if value >= 100 else 1 if value >= 10 else 2}f}"
