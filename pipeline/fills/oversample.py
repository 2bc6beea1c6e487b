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
    more = own.extra(given)
    pairs = zip(given.rows(REAL), own.rows(given, more), strict=True)
    rows = tuple(np.concatenate(pair) for pair in pairs)
    return given.holdings(_NAME, {REAL: given.source(REAL)}, {REAL: rows}, given.counts + given.by_class(more))
