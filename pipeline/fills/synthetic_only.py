"""Only the images that the diffusion model drew for the client, without its real ones.

A client that lacks nothing holds no image and sits out of every round.
"""

from pipeline import progress
from pipeline.artifacts.holdings import Holdings
from pipeline.fills.common.given import SYNTHETIC, Given

_NAME = "synthetic-only"


def make(given: Given) -> Holdings:
    """Return every client's shard; say how many clients have an empty one."""
    rows = given.rows(SYNTHETIC)
    idle = sum(not len(own) for own in rows)
    if idle:
        progress.say(f"fill {_NAME}: {idle} of {len(rows)} clients lack nothing, so they hold no image and sit out")
    return given.holdings(_NAME, {SYNTHETIC: given.source(SYNTHETIC)}, {SYNTHETIC: rows}, given.shard_counts)
