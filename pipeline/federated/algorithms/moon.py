"""MOON (Li, He, Song, "Model-Contrastive Federated Learning", 2021)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from pydantic import NonNegativeFloat, PositiveFloat
from torch import Tensor

from pipeline.federated.algorithms.fedavg import WEIGHTS, FedAvg, State

if TYPE_CHECKING:
    from pipeline.federated.local import Local


@dataclass(frozen=True)
class Moon(FedAvg):
    """FedAvg whose local loss pulls a picture's representation to the global model's, and from the client's last one.

    The representation is what the model's last layer reads; the paper adds a projection head before it, which would
    make another model of it. A client that takes part for the first time has no last model, and trains as with FedAvg.
    """

    mu: NonNegativeFloat = 1.0
    temperature: PositiveFloat = 0.5

    def loss(self, local: Local, images: Tensor, labels: Tensor) -> Tensor:
        previous = local.own.get(WEIGHTS)
        if self.mu == 0 or previous is None:
            return super().loss(local, images, labels)
        features, logits = local.model.features_and_logits(images)
        with torch.no_grad():
            towards = local.other("global", local.down[WEIGHTS]).features_and_logits(images)[0]
            away = local.other("previous", previous).features_and_logits(images)[0]
        similarities = torch.stack([F.cosine_similarity(features, other, dim=1) for other in (towards, away)], dim=1)
        contrast = F.cross_entropy(similarities / self.temperature, torch.zeros_like(labels))
        return F.cross_entropy(logits, labels) + self.mu * contrast

    def end(self, local: Local) -> tuple[State, State]:
        up, _ = super().end(local)
        return up, {WEIGHTS: up[WEIGHTS]}


ALGORITHM = Moon
