"""SCAFFOLD with option II (Karimireddy et al., "Stochastic Controlled Averaging for Federated Learning", 2020)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from pipeline.federated.algorithms.fedavg import WEIGHTS, FedAvg, State, Update, Vector, average

if TYPE_CHECKING:
    from pipeline.federated.local import Local

_CONTROL = "control"


@dataclass(frozen=True)
class Scaffold(FedAvg):
    """FedAvg whose steps are corrected by the difference of the server's and the client's control variates.

    The correction -lr * (c - c_i) is added after the optimiser's step and not to the gradient: without momentum that is
    the same, and with momentum (the controls, being mean steps, hold its factor already) it would be amplified twice.
    NIID-Bench does so too. Weights are averaged by images, as FedAvg's are; controls evenly over all clients.
    """

    divides_by_rate = True  # in ``end``

    def start(self, weights: Vector) -> State:
        return {WEIGHTS: weights, _CONTROL: np.zeros_like(weights)}

    def down(self, state: State) -> State:
        return state

    def after_step(self, local: Local) -> None:
        parameters = local.model.parameters
        if "correction" not in local.notes:
            server, own = local.down[_CONTROL], local.own.get(_CONTROL)
            difference = server if own is None else server - own
            local.notes["correction"] = difference[: len(parameters)] * -local.rate
        parameters.add_(local.notes["correction"])

    def end(self, local: Local) -> tuple[State, State]:
        server, own = local.down[_CONTROL], local.own.get(_CONTROL)
        old = torch.zeros_like(server) if own is None else own
        moved = torch.zeros_like(server)
        if local.steps:
            count = len(local.model.parameters)
            moved[:count] = (local.start - local.model.parameters) / (local.steps * local.rate)
        change = moved - server  # c_i+ - c_i, where c_i+ = c_i - c + (x - y) / (K lr)
        up, _ = super().end(local)
        return {**up, _CONTROL: change.cpu().numpy()}, {_CONTROL: (old + change).cpu().numpy()}

    def aggregate(self, state: State, updates: Sequence[Update], parameters: int, clients: int) -> State:
        control = state[_CONTROL].astype(np.float64)
        for update in updates:
            control += update.up[_CONTROL].astype(np.float64) / clients
        return {WEIGHTS: average(state[WEIGHTS], updates), _CONTROL: control.astype(np.float32)}


ALGORITHM = Scaffold
