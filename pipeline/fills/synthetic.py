"""Images that the diffusion model drew of the classes that the client lacks (Gen-FedSD, arXiv 2405.07925)."""

from pipeline.artifacts.holdings import Holdings
from pipeline.fills.common.given import REAL, SYNTHETIC, Given


def make(given: Given) -> Holdings:
    """Return every client's real images and the first synthetic ones of each class, whatever a gate says of them."""
    names = (REAL, SYNTHETIC)
    sources, rows = {name: given.source(name) for name in names}, {name: given.rows(name) for name in names}
    return given.holdings("synthetic", sources, rows, given.counts + given.shard_counts)
