"""FedAvg (McMahan et al., "Communication-Efficient Learning of Deep Networks from Decentralized Data", 2017)."""

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.federated.algorithm import WEIGHTS, Algorithm, State, Update, average


@dataclass(frozen=True)
class FedAvg(Algorithm):
    """Clients train from the global weights; the server averages what they reach, weighted by their images."""

    def aggregate(self, state: State, updates: Sequence[Update], trainable: int, total: int) -> State:
        return {**state, WEIGHTS: average(state[WEIGHTS], updates)}


ALGORITHM = FedAvg
