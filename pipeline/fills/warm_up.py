"""Nothing, but training starts from a model that was trained on all synthetic images (GPT-FL, arXiv 2306.02210).

That model is the run of ``central-synthetic`` with the same seed, which is trained once, also where it is a reference.
Clients receive the weights that they would receive anyway, so it costs them no bytes.
"""

from dataclasses import replace

from pipeline.artifacts.holdings import Holdings
from pipeline.fills import none
from pipeline.fills.common.given import Given

_START = "central-synthetic"


def make(given: Given) -> Holdings:
    """Return every client's real images, and the fill whose weights the training starts from."""
    return replace(none.make(given), fill="warm-up", start=_START)
