"""FedProx (Li et al., "Federated Optimization in Heterogeneous Networks", 2020)."""

from dataclasses import dataclass

from pydantic import NonNegativeFloat

from pipeline.federated.algorithm import Local
from pipeline.federated.algorithms.fedavg import FedAvg


@dataclass(frozen=True)
class FedProx(FedAvg):
    """FedAvg with mu / 2 * |w - w_global|^2 added to the local loss; only its gradient is computed."""

    mu: NonNegativeFloat = 0.01

    def before_step(self, local: Local) -> None:
        if self.mu:
            local.model.gradient.add_(local.model.parameters - local.start, alpha=self.mu)


ALGORITHM = FedProx
