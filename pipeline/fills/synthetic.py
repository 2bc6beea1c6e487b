"""Images that the diffusion model drew of the classes that the client lacks (Gen-FedSD, arXiv 2405.07925)."""

from pipeline.artifacts.holdings import Holdings
from pipeline.fills.common.given import REAL, SYNTHETIC, Given


def make(given: Given) -> Holdings:
    """Return every client's real images, less a surplus, and the first synthetic ones, whatever a gate says of them."""
    sources = {name: given.source(name) for name in (REAL, SYNTHETIC)}
    rows = {REAL: given.kept, SYNTHETIC: given.rows(SYNTHETIC)}
    return given.holdings("synthetic", sources, rows, given.kept_counts + given.shard_counts)
