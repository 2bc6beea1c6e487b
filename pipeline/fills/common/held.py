"""How many images of each label clients hold with a fill."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from pipeline.artifacts.holdings import Holdings
from pipeline.data.arrays import Stored


def label_counts(holdings: Holdings, sources: Mapping[str, Stored]) -> NDArray[np.int64]:
    """Return the images of each label that each client holds of all sources together, (clients, classes)."""
    shape = holdings.clients, len(holdings.class_names)
    counts = np.zeros(shape, np.int64)
    for name, rows in holdings.rows.items():
        owners = np.repeat(np.arange(shape[0]), [len(held) for held in rows])
        cells = owners * shape[1] + sources[name].labels[np.concatenate(rows)]
        counts += np.bincount(cells, minlength=counts.size).reshape(shape)
    return counts
