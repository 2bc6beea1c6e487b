"""SCAFFOLD with option II (Karimireddy et al., "Stochastic Controlled Averaging for Federated Learning", 2020)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from pipeline.federated.algorithm import WEIGHTS, Algorithm, Local, State, Update, Vector, average

_CONTROL = "control"


@dataclass(frozen=True)
class Scaffold(Algorithm):
    """Local steps are corrected by the difference of the server's and the client's control variates.

    The correction -lr * (c - c_i) is added after the optimiser's step and not to the gradient. Without momentum both
    are the same. With momentum the controls, which are mean steps, already contain its factor, and a correction of the
    gradient would be amplified a second time. NIID-Bench does the same.

    Model weights and controls are averaged with the same shares p_i, usually n_i / N, client i's share of all images.
    The server's control is then the sum of p_i * c_i over all clients, whoever takes part, and the objective is that of
    FedAvg: the sum of p_i * f_i, with the mean loss f_i of client i. The paper's objective is the even mean of f_i.
    """

    divides_by_rate = True  # in ``end``

    def start(self, weights: Vector) -> State:
        return {WEIGHTS: weights, _CONTROL: np.zeros_like(weights)}

    def broadcast(self, state: State) -> State:
        return state

    def after_step(self, local: Local) -> None:
        parameters = local.model.parameters
        if "correction" not in local.scratch:
            server, client = local.broadcast[_CONTROL], local.client_state.get(_CONTROL)
            difference = server if client is None else server - client
            local.scratch["correction"] = difference[: len(parameters)] * -local.learning_rate
        parameters.add_(local.scratch["correction"])

    def end(self, local: Local) -> tuple[State, State]:
        server, client = local.broadcast[_CONTROL], local.client_state.get(_CONTROL)
        old = torch.zeros_like(server) if client is None else client
        moved = torch.zeros_like(server)
        if local.steps:
            count = len(local.model.parameters)
            moved[:count] = (local.start - local.model.parameters) / (local.steps * local.learning_rate)
        change = moved - server  # c_i+ - c_i, where c_i+ = c_i - c + (x - y) / (K lr)
        up, _ = super().end(local)
        return {**up, _CONTROL: change.cpu().numpy()}, {_CONTROL: (old + change).cpu().numpy()}

    def aggregate(self, state: State, updates: Sequence[Update], trainable: int, total: int) -> State:
        control = state[_CONTROL].astype(np.float64)
        for update in updates:
            control += (update.weight / total) * update.up[_CONTROL].astype(np.float64)
        return {WEIGHTS: average(state[WEIGHTS], updates), _CONTROL: control.astype(np.float32)}


ALGORITHM = Scaffold
