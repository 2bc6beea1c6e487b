"""Images that the diffusion model drew of the classes that the client lacks, and that a judge finds to show them.

Each client has as many of each class as with the fill ``synthetic``; those that the gate refused are replaced.
"""

from pipeline.artifacts.holdings import Holdings
from pipeline.data.arrays import Stored
from pipeline.fills.common.given import GATED, REAL, Given


def make(given: Given) -> Holdings:
    """Return every client's real images, less a surplus, and its shard.

    Raises ParameterError if no gate chose the shard's images.
    """
    given.check_gate(GATED)
    sources = {name: given.source(name) for name in (REAL, GATED)}
    rows = {REAL: given.kept, GATED: given.rows(GATED)}
    return given.holdings(GATED, sources, rows, given.kept_counts + given.shard_counts)


def images(given: Given) -> Stored:
    """Return all clients' images that passed the gate, from the cache or decoded."""
    return given.gated_images
