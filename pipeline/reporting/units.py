"""Quantities of very different sizes, as texts that are read at a glance."""

_PREFIXES = (("P", 1e15), ("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3))
_UNITS = (("y", 365.25 * 86_400), ("d", 86_400.0), ("h", 3_600.0), ("min", 60.0))


def quantity(value: float, unit: str) -> str:
    """Return a number with three digits, the prefix of its thousands and its unit, such as ``2.61 GB``."""
    for prefix, size in _PREFIXES:
        if abs(value) >= 0.9995 * size:
            return (
                f"{value / size:,.4g} {prefix}{unit}" if value >= 999.5 * size else f"{value / size:.3g} {prefix}{unit}"
            )
    return f"{value:.3g} {unit}"


def duration(seconds: float) -> str:
    """Return seconds in the largest unit of which there is one, with three digits."""
    for unit, length in _UNITS:
        if seconds >= 0.9995 * length:
            return f"{seconds / length:,.0f} {unit}" if seconds >= 99.95 * length else f"{seconds / length:.3g} {unit}"
    return f"{seconds:.3g} s"
