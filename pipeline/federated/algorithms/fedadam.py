"""FedAdam (Reddi et al., "Adaptive Federated Optimization", 2021), algorithm 2."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import Field, PositiveFloat

from pipeline.federated.algorithms.fedavg import WEIGHTS, FedAvg, State, Update, Vector, average

_FIRST, _SECOND = "first moment", "second moment"


@dataclass(frozen=True)
class FedAdam(FedAvg):
    """FedAvg whose server takes a step of Adam, without bias correction, along the clients' mean change."""

    learning_rate: PositiveFloat = 0.01
    """Of the server."""
    beta1: Annotated[float, Field(ge=0, lt=1)] = 0.9
    beta2: Annotated[float, Field(ge=0, lt=1)] = 0.99
    tau: PositiveFloat = 1e-3
    """Degree of adaptivity: added to the root of the second moment, which starts at its square."""

    def start(self, weights: Vector) -> State:
        second = np.full_like(weights, self.tau**2)
        return {WEIGHTS: weights, _FIRST: np.zeros_like(weights), _SECOND: second}

    def aggregate(self, state: State, updates: Sequence[Update], parameters: int, clients: int) -> State:
        if not updates:
            return state
        weights = average(state[WEIGHTS], updates)
        old, first, second = state[WEIGHTS][:parameters], state[_FIRST].copy(), state[_SECOND].copy()
        change = weights[:parameters] - old
        first[:parameters] = self.beta1 * first[:parameters] + (1 - self.beta1) * change
        second[:parameters] = self.beta2 * second[:parameters] + (1 - self.beta2) * change**2
        weights[:parameters] = old + self.learning_rate * first[:parameters] / (np.sqrt(second[:parameters]) + self.tau)
        return {WEIGHTS: weights, _FIRST: first, _SECOND: second}


ALGORITHM = FedAdam
