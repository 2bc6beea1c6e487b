"""FedAvgM (Hsu et al., "Measuring the Effects of Non-Identical Data Distribution for Federated Visual
Classification", 2019).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import Field, PositiveFloat

from pipeline.federated.algorithm import WEIGHTS, Algorithm, State, Update, Vector, average

_MOMENTUM = "momentum"


@dataclass(frozen=True)
class FedAvgM(Algorithm):
    """FedAvg whose server takes a step with momentum along the clients' mean change."""

    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    learning_rate: PositiveFloat = 1.0
    """Of the server."""

    def start(self, weights: Vector) -> State:
        return {WEIGHTS: weights, _MOMENTUM: np.zeros_like(weights)}

    def aggregate(self, state: State, updates: Sequence[Update], trainable: int, total: int) -> State:
        if not updates:
            return state
        weights = average(state[WEIGHTS], updates)
        old, momentum = state[WEIGHTS][:trainable], state[_MOMENTUM].copy()
        momentum[:trainable] = self.momentum * momentum[:trainable] + (old - weights[:trainable])
        if self.momentum or self.learning_rate != 1:  # otherwise the average is kept, to the last bit
            weights[:trainable] = old - self.learning_rate * momentum[:trainable]
        return {WEIGHTS: weights, _MOMENTUM: momentum}


ALGORITHM = FedAvgM
