"""FedProx (Li et al., "Federated Optimization in Heterogeneous Networks", 2020)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import NonNegativeFloat

from pipeline.federated.algorithms.fedavg import FedAvg

if TYPE_CHECKING:
    from pipeline.federated.local import Local


@dataclass(frozen=True)
class FedProx(FedAvg):
    """FedAvg whose local loss has a term mu / 2 * |w - w_global|^2; only its gradient is needed."""

    mu: NonNegativeFloat = 0.01

    def before_step(self, local: Local) -> None:
        if self.mu:
            local.model.gradient.add_(local.model.parameters - local.start, alpha=self.mu)


ALGORITHM = FedProx
