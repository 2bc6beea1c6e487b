"""FedAvg (McMahan et al., "Communication-Efficient Learning of Deep Networks from Decentralized Data", 2017)."""

from collections.abc import Sequence

import numpy as np

from pipeline.federated.local import Vector

SENT = 1
"""How many vectors of the model's size go down to a client, and up, in a round."""


def aggregate(state: Vector, updates: Sequence[Vector], sizes: Sequence[int]) -> Vector:
    """Return the clients' weights averaged by the number of images each trained on, summed in the order given.

    Without any image the global weights (P,) stay as they are.
    """
    if sum(sizes) == 0:
        return state
    total = np.zeros(state.shape, np.float64)
    for update, size in zip(updates, sizes, strict=True):
        total += (size / sum(sizes)) * update.astype(np.float64)
    return total.astype(np.float32)
