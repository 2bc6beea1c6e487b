"""MOON (Li, He, Song, "Model-Contrastive Federated Learning", 2021)."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from pydantic import NonNegativeFloat, PositiveFloat
from torch import Tensor

from pipeline.federated.algorithm import WEIGHTS, Local, State
from pipeline.federated.algorithms.fedavg import FedAvg


@dataclass(frozen=True)
class Moon(FedAvg):
    """FedAvg whose local loss pulls representations to the global model's and away from the client's last model's.

    The representation is the input of the model's last layer. The paper inserts a projection head before that layer,
    which would change the model. A client that takes part for the first time has no last model and trains as in FedAvg.
    """

    mu: NonNegativeFloat = 1.0
    temperature: PositiveFloat = 0.5

    def loss(self, local: Local, images: Tensor, labels: Tensor) -> Tensor:
        previous = local.client_state.get(WEIGHTS)
        if self.mu == 0 or previous is None:
            return super().loss(local, images, labels)
        features, logits = local.model.features_and_logits(images)
        with torch.no_grad():
            towards = local.second_model("global", local.broadcast[WEIGHTS]).features_and_logits(images)[0]
            away = local.second_model("previous", previous).features_and_logits(images)[0]
        similarities = torch.stack([F.cosine_similarity(features, z, dim=1) for z in (towards, away)], dim=1)
        contrast = F.cross_entropy(similarities / self.temperature, torch.zeros_like(labels))
        return F.cross_entropy(logits, labels) + self.mu * contrast

    def end(self, local: Local) -> tuple[State, State]:
        up, _ = super().end(local)
        return up, {WEIGHTS: up[WEIGHTS]}


ALGORITHM = Moon
