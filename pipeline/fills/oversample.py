"""The client's own images again, as many as the synthetic fill gives it.

They go to the same classes as with the fill ``transforms``, so the two differ only in whether the copies are changed.
"""

import numpy as np

from pipeline.artifacts.holdings import Holdings
from pipeline.fills.common import own
from pipeline.fills.common.given import REAL, Given

_NAME = "oversample"


def make(given: Given) -> Holdings:
    """Return every client's real images, and after them those that it holds once more."""
    own.report_unfilled(given, _NAME)
    again = own.rows(given, own.extra(given))
    rows = tuple(np.concatenate(pair) for pair in zip(given.rows(REAL), again, strict=True))
    return given.holdings(_NAME, {REAL: given.source(REAL)}, {REAL: rows})
