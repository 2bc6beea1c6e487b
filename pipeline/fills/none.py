"""Nothing: each client trains on its own real images."""

from pipeline.artifacts.holdings import Holdings
from pipeline.fills.common.given import REAL, Given


def make(given: Given) -> Holdings:
    """Return every client's real images."""
    return given.holdings("none", {REAL: given.source(REAL)}, {REAL: given.rows(REAL)}, given.counts)
