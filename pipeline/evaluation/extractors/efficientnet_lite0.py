"""EfficientNet-Lite0, trained on ImageNet: the default for colour photographs; its weights ship with the package.

The network is that of Tan & Le, "EfficientNet" (ICML 2019, arXiv 1905.11946), in the variant that Google published for
small devices: ReLU6, no squeeze-and-excitation. Features are the 1,280 averages before the classifier, scaled to one
length: as they are, those of images that show little are short, hence near to everybody, and a black image was as
realistic as any (Clipped Density 1.00 among photographs of dogs, 0.00 with one length).

The weights are in this folder, most of them as float16, batch normalisation folded into the convolutions;
``data/extractors`` has the program that made them. Without the classifier they take 7 MB: features need no download and
no further package.
"""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline import atomic
from pipeline.evaluation.extractors.network import Network, Preprocessing, digest, scaled

NAME = "efficientnet-lite0"
WEIGHTS = Path(__file__).with_name("efficientnet_lite0.safetensors")
"""See LICENSE.efficientnet-lite0 beside it."""
DIMENSION = 1280
PREPROCESSING = Preprocessing(sides=((64, 160), (10**9, 224)), mean=(127.0,) * 3, std=(128.0,) * 3)
"""224 pixels are what it was trained on. For CIFAR-10's 32 pixels, 160 tell the classes apart as well by ten nearest
neighbours (82 %) in a third of the time, and 112 worse (76 %)."""
_STEM = 32
_STAGES = (
    # repeats, kernel, stride of the first, expansion, channels
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


class Convolution(nn.Conv2d):
    """A convolution with TensorFlow's padding: output = input / stride, rounded up; the odd pixel goes to the end."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  # torch calls it so
        """Return (N, C, ceil(H / stride), ceil(W / stride)) for (N, C', H, W)."""
        (kernel, _), (stride, _) = self.kernel_size, self.stride
        needed = [max((-(-size // stride) - 1) * stride + kernel - size, 0) for size in input.shape[2:]]
        (top, left), (height, width) = (all_ // 2 for all_ in needed), needed
        if any(needed):
            input = F.pad(input, (left, width - left, top, height - top))  # noqa: A001  # as above
        return super().forward(input)


class Block(nn.Module):
    """Inverted residual: expand, filter each channel, project; the input is added where shapes agree."""

    def __init__(self, before: int, after: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = before * expansion
        self.expand = Convolution(before, inner, 1) if expansion > 1 else None
        self.depthwise = Convolution(inner, inner, kernel, stride, groups=inner)
        self.project = Convolution(inner, after, 1)
        self.adds = stride == 1 and before == after

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, after, H', W') for (N, before, H, W)."""
        inner = x if self.expand is None else F.relu6(self.expand(x))
        projected: Tensor = self.project(F.relu6(self.depthwise(inner)))
        return projected + x if self.adds else projected


class EfficientNetLite0(nn.Module):
    """The network without its classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = Convolution(3, _STEM, 3, 2)
        blocks, before = [], _STEM
        for repeats, kernel, stride, expansion, after in _STAGES:
            for number in range(repeats):
                blocks.append(Block(before, after, kernel, 1 if number else stride, expansion))
                before = after
        self.blocks = nn.Sequential(*blocks)
        self.head = Convolution(before, DIMENSION, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the averages (N, 1280) of inputs (N, 3, side, side)."""
        return F.relu6(self.head(self.blocks(F.relu6(self.stem(x))))).mean((2, 3))


def load(device: str = "cpu") -> Network:
    """Return the extractor on a device."""
    from safetensors.torch import load_file

    with torch.device("meta"):
        network = EfficientNetLite0()
    weights = {name: values.float() for name, values in load_file(WEIGHTS).items()}
    network.load_state_dict(weights, assign=True)
    network.eval().requires_grad_(False).to(device)
    network.to(memory_format=torch.channels_last)
    identity = digest(NAME, [atomic.sha256(WEIGHTS)], PREPROCESSING)
    return Network(NAME, identity, DIMENSION, lambda images: scaled(network(PREPROCESSING(images))), device)
