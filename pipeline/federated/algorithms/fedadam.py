"""FedAdam (Reddi et al., "Adaptive Federated Optimization", 2021), algorithm 2."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import Field, PositiveFloat

from pipeline.federated.algorithm import WEIGHTS, Algorithm, State, Update, Vector, average

_FIRST, _SECOND = "first moment", "second moment"


@dataclass(frozen=True)
class FedAdam(Algorithm):
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

    def aggregate(self, state: State, updates: Sequence[Update], trainable: int, total: int) -> State:
        if not updates:
            return state
        weights = average(state[WEIGHTS], updates)
        old, first, second = state[WEIGHTS][:trainable], state[_FIRST].copy(), state[_SECOND].copy()
        change = weights[:trainable] - old
        first[:trainable] = self.beta1 * first[:trainable] + (1 - self.beta1) * change
        second[:trainable] = self.beta2 * second[:trainable] + (1 - self.beta2) * change**2
        weights[:trainable] = old + self.learning_rate * first[:trainable] / (np.sqrt(second[:trainable]) + self.tau)
        return {WEIGHTS: weights, _FIRST: first, _SECOND: second}


ALGORITHM = FedAdam
