"""What a federated algorithm is: the moments of a round at which one may differ from the others.

The moments are called in this order::

    server, once         start(weights)
    server, each round   broadcast(state)
    each client          loss, before_step, after_step (for each batch), then end
    server, each round   aggregate(state, updates, trainable, total)

Each algorithm is one file in ``algorithms``.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from pipeline.federated.models import FlatModel

Vector = NDArray[np.float32]
State = dict[str, Vector]
"""Vectors by name. ``weights`` is always there: all parameters, then the buffers that are averaged like them."""

WEIGHTS = "weights"

SecondModel = Callable[[str, Tensor], FlatModel]
"""Returns a second model of the given name with these weights (P,), for algorithms that compare models."""


@dataclass(frozen=True)
class Update:
    """The result of one client's local training."""

    up: State
    """What the client sends to the server."""
    client_state: State
    """What the client keeps for the next round in which it takes part; it is not sent."""
    weight: int
    """What it counts in averages."""
    steps: int
    """Local steps it took."""
    samples: int
    """Images in the batches of these steps, together."""


@dataclass(frozen=True)
class LocalSettings:
    """What decides local training besides data, weights, learning rate and algorithm."""

    batch_size: int
    momentum: float
    weight_decay: float
    clip_norm: float | None = None
    """Largest norm of a gradient (Euclidean, of all parameters together); None: no limit."""
    augment: str = "none"
    """``none``, ``shift`` or ``shift-mirror`` (see ``local.Augmented``)."""
    sampling: str = "shuffled"
    """``shuffled`` or ``class-balanced`` (see ``draws.chances``)."""
    real_weight: float = 1.0
    """How often a real image is drawn, compared with any other."""


@dataclass
class Local:
    """One client's local training, as the algorithm sees it."""

    model: FlatModel
    broadcast: Mapping[str, Tensor]
    """What the server sent."""
    client_state: Mapping[str, Tensor]
    """What the client kept from the last round in which it took part; empty the first time."""
    settings: LocalSettings
    learning_rate: float
    """Of this round."""
    second_model: SecondModel
    labels: Tensor
    """Of the client's images, (n,)."""
    steps: int = 0
    """Steps taken so far."""
    scratch: dict[str, Tensor] = field(default_factory=dict)
    """What an algorithm computes once and uses in every step of one client's training."""

    @property
    def start(self) -> Tensor:
        """The parameters (P,) that training started from."""
        return self.broadcast[WEIGHTS][: len(self.model.parameters)]


@dataclass(frozen=True)
class Algorithm(ABC):
    """A federated algorithm; the fields of a derived dataclass are its hyper-parameters.

    Everything but ``aggregate`` has a default: clients minimise the cross-entropy from the global weights and send the
    weights that they reach.
    """

    divides_by_rate = False  # without a type, so that it is no field and no hyper-parameter
    """Whether the algorithm divides by the learning rate; schedules that end at a rate of 0 are refused then."""

    def start(self, weights: Vector) -> State:
        """Return the server's state before the first round."""
        return {WEIGHTS: weights}

    def broadcast(self, state: State) -> State:
        """Return what the server sends to every client of a round."""
        return {WEIGHTS: state[WEIGHTS]}

    def loss(self, local: Local, images: Tensor, labels: Tensor) -> Tensor:
        """Return a batch's loss, from normalised images (B, 3, H, W) and labels (B,)."""
        return F.cross_entropy(local.model.module(images), labels)

    def before_step(self, local: Local) -> None:  # noqa: B027  # the default does nothing
        """Change the gradient (P,) of the parameters in place."""

    def after_step(self, local: Local) -> None:  # noqa: B027  # the default does nothing
        """Change the parameters (P,) in place after a step."""

    def end(self, local: Local) -> tuple[State, State]:
        """Return what the client sends and what it keeps (``up`` and ``client_state`` of its Update)."""
        return {WEIGHTS: local.model.vector.cpu().numpy().copy()}, {}

    @abstractmethod
    def aggregate(self, state: State, updates: Sequence[Update], trainable: int, total: int) -> State:
        """Return the server's next state.

        The first ``trainable`` numbers of the weights are parameters, the rest buffers. ``total`` is the
        weight of all clients of the federation together, not only of those that took part.
        """


def average(weights: Vector, updates: Sequence[Update], name: str = WEIGHTS) -> Vector:
    """Return the clients' vectors averaged by the clients' weights, summed in the order given in float64.

    If no client has a weight, return a copy of ``weights``, the global model's.
    """
    together = sum(update.weight for update in updates)
    if together == 0:
        return weights.copy()
    total = np.zeros(weights.shape, np.float64)
    for update in updates:
        total += (update.weight / together) * update.up[name].astype(np.float64)
    return total.astype(np.float32)
