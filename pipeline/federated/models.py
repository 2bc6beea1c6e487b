"""Classifiers, and their parameters as one flat vector."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.errors import ParameterError


class SimpleCNN(nn.Module):
    """The ``simple-cnn`` of NIID-Bench (Li et al., ICDE 2022): 62,006 parameters for 32x32 pictures of 10 classes."""

    def __init__(self, classes: int, image_size: int) -> None:
        super().__init__()
        side = ((image_size - 4) // 2 - 4) // 2
        if side < 1:
            fix = "set data.image_size to 16 or more, or choose another model"
            raise ParameterError(f"pictures of {image_size} pixels are too small", "train.model = simple-cnn", fix)
        self.conv1, self.conv2 = nn.Conv2d(3, 6, 5), nn.Conv2d(6, 16, 5)
        self.fc1, self.fc2, self.fc3 = nn.Linear(16 * side * side, 120), nn.Linear(120, 84), nn.Linear(84, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits (N, classes) of pictures (N, 3, size, size)."""
        # Pooling before the ReLU gives the same numbers and gradients as after it, on a quarter of the activations.
        x = F.relu(F.max_pool2d(self.conv1(x), 2))
        x = F.relu(F.max_pool2d(self.conv2(x), 2)).flatten(1)
        logits: Tensor = self.fc3(F.relu(self.fc2(F.relu(self.fc1(x)))))
        return logits


MODELS: dict[str, Callable[[int, int], nn.Module]] = {"simple-cnn": SimpleCNN}


class FlatModel:
    """A model whose parameters, and whose gradients, are views of one vector each.

    Sending, averaging and stepping are then single operations. Convolution weights lie in channels-last order within
    the vector, which is the order that the kernels want.
    """

    def __init__(self, name: str, classes: int, image_size: int, seed: int = 0) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.module = MODELS[name](classes, image_size)
        parameters = list(self.module.parameters())
        self.vector = torch.cat([_flatten(parameter.detach()) for parameter in parameters])
        self.vector.grad = torch.zeros_like(self.vector)
        start = 0
        for parameter in parameters:
            stop = start + parameter.numel()
            parameter.data = _shape(self.vector[start:stop], parameter.shape)
            parameter.grad = _shape(self.vector.grad[start:stop], parameter.shape)
            start = stop

    def state(self) -> dict[str, Tensor]:
        """Return a copy of the parameters by name, in ordinary layout."""
        return {
            name: p.detach().clone(memory_format=torch.contiguous_format) for name, p in self.module.named_parameters()
        }


def _flatten(parameter: Tensor) -> Tensor:
    return (parameter.permute(0, 2, 3, 1) if parameter.dim() == 4 else parameter).reshape(-1)


def _shape(part: Tensor, shape: torch.Size) -> Tensor:
    if len(shape) != 4:
        return part.view(shape)
    out, into, height, width = shape
    return part.view(out, height, width, into).permute(0, 3, 1, 2)
