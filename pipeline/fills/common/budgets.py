"""How many samples a client trains on in a round, under the two budgets of local work."""

import numpy as np
from numpy.typing import NDArray

from pipeline.params import TrainParams

Int64 = NDArray[np.int64]


def samples_of(sizes: Int64, params: TrainParams) -> Int64:
    """Return the samples a round, (clients,), of clients with so many images; one without images has none."""
    if params.local_steps is not None:
        return np.where(sizes > 0, params.local_steps * params.batch_size, 0)
    return params.local_epochs * sizes


def by_budget(held: Int64, filled: Int64, params: TrainParams) -> dict[str, Int64]:
    """Return the samples of each budget; ``held`` and ``filled`` are images by client, (clients,).

    ``epochs``: each client passes ``local_epochs`` times over what it holds. ``steps``: each client trains on as many
    samples, in as many steps, as if every deficit were filled, so that no fill wins by more work.
    """
    return {"epochs": samples_of(held, params), "steps": np.where(held > 0, samples_of(filled, params), 0)}
