"""FedNova (Wang et al., "Tackling the Objective Inconsistency Problem in Heterogeneous Federated Optimization",
2020).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pipeline.federated.algorithms.fedavg import WEIGHTS, FedAvg, State, Update, average

if TYPE_CHECKING:
    from pipeline.federated.local import Local

_NORM = "norm"


@dataclass(frozen=True)
class FedNova(FedAvg):
    """Averages the clients' changes per unit of local work, then takes their mean work at once."""

    def end(self, local: Local) -> tuple[State, State]:
        up, own = super().end(local)
        return {**up, _NORM: np.array([accumulated(local.steps, local.hyper.momentum)], np.float32)}, own

    def aggregate(self, state: State, updates: Sequence[Update], parameters: int, clients: int) -> State:
        working = [update for update in updates if update.steps]
        weights = average(state[WEIGHTS], working)  # of the buffers; the parameters follow
        images = sum(update.size for update in working)
        if images == 0:
            return state
        shares = [update.size / images for update in working]
        norms = [float(update.up[_NORM][0]) for update in working]
        effective = sum(share * norm for share, norm in zip(shares, norms, strict=True))
        start = state[WEIGHTS][:parameters].astype(np.float64)
        total = np.zeros(parameters, np.float64)
        for update, share, norm in zip(working, shares, norms, strict=True):
            total += share * (effective / norm) * (update.up[WEIGHTS][:parameters].astype(np.float64) - start)
        weights[:parameters] = start + total
        return {WEIGHTS: weights}


def accumulated(steps: int, momentum: float) -> float:
    """Return |a|_1, how often the gradients of ``steps`` local steps count in all: ``steps`` without momentum.

    A gradient counts 1 + m + m^2 + ... times, once for each step from its own to the last.
    """
    if momentum == 0:
        return float(steps)
    return (steps - momentum * (1 - momentum**steps) / (1 - momentum)) / (1 - momentum)


ALGORITHM = FedNova
