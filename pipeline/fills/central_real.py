"""No federation: one model is trained centrally on all clients' real images."""

from pipeline.artifacts.holdings import Holdings
from pipeline.fills.common.given import REAL, Given


def make(given: Given) -> Holdings:
    """Return one client that has every real image."""
    return given.central("central-real", REAL)
