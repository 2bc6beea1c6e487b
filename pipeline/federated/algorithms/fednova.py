"""FedNova (Wang et al., "Tackling the Objective Inconsistency Problem in Heterogeneous Federated Optimization",
2020).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.federated.algorithm import WEIGHTS, Algorithm, Local, State, Update, average

_NORM = "norm"


@dataclass(frozen=True)
class FedNova(Algorithm):
    """The server averages the clients' changes per unit of local work and multiplies the average by their mean work."""

    def end(self, local: Local) -> tuple[State, State]:
        up, kept = super().end(local)
        return {**up, _NORM: np.array([accumulated(local.steps, local.settings.momentum)], np.float32)}, kept

    def aggregate(self, state: State, updates: Sequence[Update], trainable: int, total: int) -> State:
        working = [update for update in updates if update.steps]
        weights = average(state[WEIGHTS], working)  # right for the buffers; the parameters are replaced below
        together = sum(update.weight for update in working)
        if together == 0:
            return state
        shares = [update.weight / together for update in working]
        norms = [float(update.up[_NORM][0]) for update in working]
        effective = sum(share * norm for share, norm in zip(shares, norms, strict=True))
        start = state[WEIGHTS][:trainable].astype(np.float64)
        change = np.zeros(trainable, np.float64)
        for update, share, norm in zip(working, shares, norms, strict=True):
            change += share * (effective / norm) * (update.up[WEIGHTS][:trainable].astype(np.float64) - start)
        weights[:trainable] = start + change
        return {WEIGHTS: weights}


def accumulated(steps: int, momentum: float) -> float:
    """Return |a|_1, the sum of the weights with which the gradients of ``steps`` local steps count.

    Without momentum it is ``steps``. With a momentum m, a gradient counts 1 + m + m^2 + ... times, once for each step
    from its own to the last.
    """
    if momentum == 0:
        return float(steps)
    return (steps - momentum * (1 - momentum**steps) / (1 - momentum)) / (1 - momentum)


ALGORITHM = FedNova
