"""No federation and no real image: one model is trained centrally on all synthetic images.

It shows what the generator brings without any client.
"""

from pipeline import progress
from pipeline.artifacts.holdings import Holdings
from pipeline.fills.common.given import SYNTHETIC, Given


def make(given: Given) -> Holdings:
    """Return one client that has every synthetic image."""
    if not given.manifest.rows:
        progress.say("warning: no client lacks an image, so central-synthetic trains on none: its model is untrained")
    return given.central("central-synthetic", SYNTHETIC)
