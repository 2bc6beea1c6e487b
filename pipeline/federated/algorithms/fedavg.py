"""FedAvg (McMahan et al., "Communication-Efficient Learning of Deep Networks from Decentralized Data", 2017).

Its class is also what every other algorithm derives from: each overrides the moments at which it differs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

if TYPE_CHECKING:
    from pipeline.federated.local import Local

Vector = NDArray[np.float32]
State = dict[str, Vector]
"""Vectors by name. ``weights`` is always there: all parameters, then the buffers that are averaged like them."""

WEIGHTS = "weights"


@dataclass(frozen=True)
class Update:
    """What one client's local training gives."""

    up: State
    """What it sends to the server."""
    own: State
    """What it keeps for the next time it takes part; it stays on the client."""
    size: int
    """Images that the client holds."""
    steps: int
    samples: int


@dataclass(frozen=True)
class FedAvg:
    """Clients train from the global weights; the server averages what they reach, weighted by their images."""

    divides_by_rate = False  # without a type it is no hyper-parameter
    """Whether a learning rate of 0 leaves it without a result; such schedules are refused then."""

    def start(self, weights: Vector) -> State:
        """Return the server's state before the first round."""
        return {WEIGHTS: weights}

    def down(self, state: State) -> State:
        """Return what goes to every client of a round."""
        return {WEIGHTS: state[WEIGHTS]}

    def loss(self, local: Local, images: Tensor, labels: Tensor) -> Tensor:
        """Return a batch's loss, from normalised images (B, 3, H, W) and labels (B,)."""
        return F.cross_entropy(local.model.module(images), labels)

    def before_step(self, local: Local) -> None:
        """Change the gradient (P,) of the parameters in place."""

    def after_step(self, local: Local) -> None:
        """Change the parameters (P,) in place after a step."""

    def end(self, local: Local) -> tuple[State, State]:
        """Return what the client sends and what it keeps after its last step."""
        return {WEIGHTS: local.model.vector.cpu().numpy().copy()}, {}

    def aggregate(self, state: State, updates: Sequence[Update], parameters: int, clients: int) -> State:
        """Return the server's next state.

        ``parameters`` tells where in the weights the buffers begin, ``clients`` how many clients there are, whether
        they took part or not.
        """
        return {**state, WEIGHTS: average(state[WEIGHTS], updates)}


def average(weights: Vector, updates: Sequence[Update], name: str = WEIGHTS) -> Vector:
    """Return the clients' vectors averaged by their numbers of images, summed in the order given in float64.

    Without any image the global weights stay as they are.
    """
    images = sum(update.size for update in updates)
    if images == 0:
        return weights.copy()
    total = np.zeros(weights.shape, np.float64)
    for update in updates:
        total += (update.size / images) * update.up[name].astype(np.float64)
    return total.astype(np.float32)


ALGORITHM = FedAvg
