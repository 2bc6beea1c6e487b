"""FedRS (Li, Zhan, "FedRS: Federated Learning with Restricted Softmax for Label Distribution Non-IID Data", 2021)."""

from dataclasses import dataclass
from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from pipeline.federated.algorithm import Local
from pipeline.federated.algorithms.fedavg import FedAvg


@dataclass(frozen=True)
class FedRS(FedAvg):
    """FedAvg whose local softmax restricts the classes that a client has no image of: their logits count alpha times.

    A client's images push the weights of classes that it lacks away from all of its features. With alpha below 1 they
    push less; with 0 not at all. A client that has every class trains as in FedAvg.
    """

    alpha: Annotated[float, Field(ge=0, le=1)] = 0.5

    def loss(self, local: Local, images: Tensor, labels: Tensor) -> Tensor:
        logits = local.model.module(images)
        if "scales" not in local.scratch:
            scales = torch.full_like(logits[0], self.alpha)
            local.scratch["scales"] = scales.index_fill_(0, local.labels, 1.0)
        return F.cross_entropy(logits * local.scratch["scales"], labels)


ALGORITHM = FedRS
