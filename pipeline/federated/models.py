"""Classifiers, and their parameters and buffers as one flat vector."""

import warnings
from collections.abc import Callable
from copy import deepcopy
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from pipeline.errors import ParameterError
from pipeline.federated import model_names

_CHANNELS_PER_GROUP = 8
Make = Callable[[int, int], nn.Module]


def _side(image_size: int) -> int:
    """Return a picture's side after two rounds of a 5x5 convolution and a pooling by 2."""
    side = ((image_size - 4) // 2 - 4) // 2
    if side < 1:
        fix = "set data.image_size to 16 or more, or choose another model"
        raise ParameterError(f"pictures of {image_size} pixels are too small", "train.model", fix)
    return side


class _ConvPoolReLU(torch.autograd.Function):
    """``relu(max_pool2d(conv2d(x, weight, bias), 2))`` of few channels, faster than torch's three kernels in turn.

    torch's convolutions compute 16 channels at a time, so two neighbouring pixels are computed as if they were channels
    of one pixel. Its pooling is slow if the channels do not fill a vector register, so whole rows are compared. Works
    for kernels of odd width on pictures with even sides. Of equal pixels one gets the gradient: the first in column
    order, where torch takes the first in row order. There is no gradient for pictures, and no second derivative.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        assert not ctx.needs_input_grad[0], "pictures get no gradient here"
        out, into, height, width = weight.shape
        both = weight.new_zeros(2 * out, height, width + 1, into).permute(0, 3, 1, 2)
        both[:out, ..., :width], both[out:, ..., 1:] = weight, weight
        pairs = F.conv2d(x, both, torch.cat([bias, bias]), stride=(1, 2))
        rows = torch.maximum(pairs[:, :, 0::2], pairs[:, :, 1::2])
        pooled = torch.maximum(rows[:, :out], rows[:, out:]).clamp_min_(0)
        ctx.save_for_backward(x, both, pairs, rows, pooled)
        return pooled

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor, Tensor]:
        x, both, pairs, rows, pooled = ctx.saved_tensors
        out = pooled.shape[1]
        aten = torch.ops.aten
        of_pooled = aten.threshold_backward(gradients[0], pooled, 0)
        of_rows, of_pairs = torch.empty_like(rows), torch.empty_like(pairs)
        _share(of_pooled, (rows[:, :out], rows[:, out:]), (of_rows[:, :out], of_rows[:, out:]))
        _share(of_rows, (pairs[:, :, 0::2], pairs[:, :, 1::2]), (of_pairs[:, :, 0::2], of_pairs[:, :, 1::2]))
        _, weight, bias = aten.convolution_backward(
            of_pairs, x, both, [2 * out], (1, 2), (0, 0), (1, 1), False, (0, 0), 1, (False, True, True)
        )
        return None, weight[:out, ..., :-1] + weight[out:, ..., 1:], bias[:out] + bias[out:]


def _share(gradient: Tensor, values: tuple[Tensor, Tensor], into: tuple[Tensor, Tensor]) -> None:
    """Write the gradient of the larger of two values to its place, and 0 to the other's."""
    torch.ge(*values, out=into[0])  # as floats: multiplying by booleans is slow
    into[0].mul_(gradient)
    torch.sub(gradient, into[0], out=into[1])


class SimpleCNN(nn.Module):
    """The ``simple-cnn`` of NIID-Bench (Li et al., ICDE 2022): 62,006 parameters for 32x32 pictures of 10 classes."""

    def __init__(self, classes: int, image_size: int) -> None:
        super().__init__()
        side = _side(image_size)
        self.conv1, self.conv2 = nn.Conv2d(3, 6, 5), nn.Conv2d(6, 16, 5)
        self.fc1, self.fc2, self.fc3 = nn.Linear(16 * side * side, 120), nn.Linear(120, 84), nn.Linear(84, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits (N, classes) of pictures (N, 3, size, size)."""
        # Pooling before the ReLU gives the same numbers and gradients as after it, on a quarter of the activations.
        if x.device.type == "cpu" and x.shape[2] % 2 == x.shape[3] % 2 == 0:
            assert self.conv1.bias is not None
            x = _ConvPoolReLU.apply(x, self.conv1.weight, self.conv1.bias)
        else:
            x = F.relu(F.max_pool2d(self.conv1(x), 2))
        x = F.relu(F.max_pool2d(self.conv2(x), 2)).flatten(1)
        logits: Tensor = self.fc3(F.relu(self.fc2(F.relu(self.fc1(x)))))
        return logits


class LeNet5(nn.Module):
    """LeNet-5 (LeCun et al. 1998): 5x5 convolutions of 6 and 16 channels, average pooling, tanh."""

    def __init__(self, classes: int, image_size: int) -> None:
        super().__init__()
        side = _side(image_size)
        self.body = nn.Sequential(
            nn.Conv2d(3, 6, 5), nn.Tanh(), nn.AvgPool2d(2), nn.Conv2d(6, 16, 5), nn.Tanh(), nn.AvgPool2d(2),
            nn.Flatten(), nn.Linear(16 * side * side, 120), nn.Tanh(), nn.Linear(120, 84), nn.Tanh(),
        )  # fmt: skip
        self.head = nn.Linear(84, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits (N, classes) of pictures (N, 3, size, size)."""
        logits: Tensor = self.head(self.body(x))
        return logits


class _Block(nn.Module):
    """Two 3x3 convolutions beside a shortcut, which is a 1x1 convolution where the shape changes."""

    def __init__(self, into: int, out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(into, out, 3, stride, 1, bias=False)
        self.norm1, self.norm2 = nn.BatchNorm2d(out), nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        same = stride == 1 and into == out
        self.shortcut = (
            nn.Identity() if same else nn.Sequential(nn.Conv2d(into, out, 1, stride, bias=False), nn.BatchNorm2d(out))
        )

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x)), inplace=True)))
        return F.relu(y + self.shortcut(x), inplace=True)


class ResNet(nn.Module):
    """A residual network for small pictures (He et al. 2016): 3x3 stem, stages of blocks, mean over the picture."""

    def __init__(self, widths: tuple[int, ...], depth: int, classes: int, image_size: int) -> None:
        super().__init__()
        del image_size  # every size is accepted
        stem, into = widths[0], widths[0]
        layers: list[nn.Module] = [nn.Conv2d(3, stem, 3, 1, 1, bias=False), nn.BatchNorm2d(stem), nn.ReLU(inplace=True)]
        for stage, width in enumerate(widths):
            for block in range(depth):
                layers.append(_Block(into, width, 2 if stage and not block else 1))
                into = width
        self.body, self.head = nn.Sequential(*layers), nn.Linear(into, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits (N, classes) of pictures (N, 3, size, size)."""
        logits: Tensor = self.head(self.body(x).mean((2, 3)))
        return logits


MODELS: dict[str, Make] = {
    "simple-cnn": SimpleCNN,
    "lenet5": LeNet5,
    "resnet20": partial(ResNet, (16, 32, 64), 3),
    model_names.SMALL: partial(ResNet, (64, 128, 256, 512), 2),
    model_names.IMAGENET: lambda classes, image_size: _torchvision("resnet18", classes, image_size),
}


def make(name: str, norm: str, classes: int, image_size: int) -> nn.Module:
    """Return a model of this module or of torchvision; raise ParameterError if neither has it.

    ``resnet18`` stands for one of two networks, see ``model_names``.
    ``norm``: ``batch`` keeps batch normalisation, ``group`` replaces it by group normalisation with 8 channels a group
    (Hsieh et al. 2020: batch statistics of non-IID clients differ).
    """
    name = model_names.resolve(name, image_size)
    made = MODELS[name](classes, image_size) if name in MODELS else _torchvision(name, classes, image_size)
    return _grouped(made) if norm == "group" else made


def _torchvision(name: str, classes: int, image_size: int) -> nn.Module:
    from torchvision import models

    if name not in models.list_models(module=models):
        fix = f"one of {', '.join(MODELS)}, or a classification model of torchvision"
        raise ParameterError("no such model", f"params.yaml, train.model = {name!r}", fix)
    trial = torch.zeros(2, 3, image_size, image_size)
    with warnings.catch_warnings(action="ignore"):
        made: nn.Module = models.get_model(name, weights=None, num_classes=classes)
        try:
            logits = deepcopy(made)(trial)
        except (RuntimeError, AssertionError, ValueError) as error:
            fix = f"choose another model, or a data.image_size that it takes ({error})"
            what = f"it cannot train on pictures of {image_size} pixels"
            raise ParameterError(what, f"train.model = {name}", fix) from None
    if _linear(made) is None or not isinstance(logits, Tensor):
        fix = f"one of {', '.join(MODELS)}, or another classification model of torchvision"
        raise ParameterError("it does not end in one linear layer", f"train.model = {name}", fix)
    return made


def _linear(module: nn.Module) -> nn.Module | None:
    """Return the last linear layer, or None."""
    return next((part for part in reversed(list(module.modules())) if isinstance(part, nn.Linear)), None)


def _grouped(module: nn.Module) -> nn.Module:
    """Replace batch normalisation by group normalisation, everywhere below."""
    if isinstance(module, nn.BatchNorm2d):
        groups = max(1, module.num_features // _CHANNELS_PER_GROUP)
        while module.num_features % groups:
            groups -= 1
        return nn.GroupNorm(groups, module.num_features)
    for name, child in module.named_children():
        setattr(module, name, _grouped(child))
    return module


class FlatModel:
    """A model whose parameters and averaged buffers, and whose gradients, are views of one vector each.

    Sending, averaging and stepping are then single operations. Within the vector, convolution weights are in
    channels-last order, the fastest for the kernels.
    """

    def __init__(self, name: str, norm: str, classes: int, image_size: int, seed: int = 0, device: str = "cpu") -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.module = make(name, norm, classes, image_size)
        named = list(self.module.parameters())
        buffers = [buffer for buffer in self.module.buffers() if buffer.is_floating_point()]
        self.vector = torch.cat([_flatten(tensor.detach()) for tensor in [*named, *buffers]]).to(device)
        """Parameters, then buffers (of batch normalisation)."""
        self.module.to(device)
        self.parameters = self.vector[: sum(parameter.numel() for parameter in named)]
        """The part that gradients move."""
        self.gradient = torch.zeros_like(self.parameters)
        self.parameters.grad = self.gradient
        start = 0
        for tensor in [*named, *buffers]:
            stop = start + tensor.numel()
            tensor.data = _shape(self.vector[start:stop], tensor.shape)
            if isinstance(tensor, nn.Parameter):
                tensor.grad = _shape(self.gradient[start:stop], tensor.shape)
            start = stop
        last = _linear(self.module)
        assert last is not None
        self._last = last

    def features_and_logits(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return what the last layer reads, (N, width), and its output, the logits (N, classes)."""
        found: list[Tensor] = []
        hook = self._last.register_forward_pre_hook(lambda _, given: found.append(given[0]))
        try:
            logits = self.module(images)
        finally:
            hook.remove()
        return found[0].flatten(1), logits

    def state(self) -> dict[str, Tensor]:
        """Return a copy of parameters and buffers by name, in ordinary layout."""
        tensors = [*self.module.named_parameters(), *self.module.named_buffers()]
        return {name: t.detach().cpu().clone(memory_format=torch.contiguous_format) for name, t in tensors}


class SecondModels:
    """Further models beside the one that trains, by name; made when first used, then kept, in evaluation mode."""

    def __init__(self, make_model: Callable[[], FlatModel]) -> None:
        self._make, self._made = make_model, dict[str, FlatModel]()

    def __call__(self, name: str, weights: Tensor) -> FlatModel:
        """Return the model of this name with these weights."""
        if name not in self._made:
            self._made[name] = self._make()
            self._made[name].module.eval()
        self._made[name].vector.copy_(weights)
        return self._made[name]


def _flatten(tensor: Tensor) -> Tensor:
    return (tensor.permute(0, 2, 3, 1) if tensor.dim() == 4 else tensor).reshape(-1)


def _shape(part: Tensor, shape: torch.Size) -> Tensor:
    if len(shape) != 4:
        return part.view(shape)
    out, into, height, width = shape
    return part.view(out, height, width, into).permute(0, 3, 1, 2)
