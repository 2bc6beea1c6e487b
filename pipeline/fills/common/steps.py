"""Local steps under the two budgets of local work."""

import numpy as np
from numpy.typing import NDArray

from pipeline.params import TrainParams

Int64 = NDArray[np.int64]


def steps_of(sizes: Int64, params: TrainParams) -> Int64:
    """Return the local steps a round, (clients,), of clients with so many images; a pass ends with part of a batch."""
    if params.local_steps is not None:
        return np.where(sizes > 0, params.local_steps, 0)
    return params.local_epochs * -(-sizes // params.batch_size)


def by_budget(held: Int64, filled: Int64, params: TrainParams) -> dict[str, Int64]:
    """Return the steps of each budget; ``held`` and ``filled`` are images by client, (clients,).

    ``epochs``: each client passes ``local_epochs`` times over what it holds. ``steps``: each client takes as many steps
    as if every deficit were filled, so that no fill wins by more work; a client without images takes none.
    """
    return {"epochs": steps_of(held, params), "steps": np.where(held > 0, steps_of(filled, params), 0)}
