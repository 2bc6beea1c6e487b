"""Inception v3 as FID is defined on it (Heusel et al., 2017), through torch-fidelity: for values that papers print.

torch-fidelity (the extra ``inception``) has the network, with TensorFlow's own resize, and downloads the weights as a
pickle. Here they are read from a safetensors file, which ``data/extractors/make_inception.py`` makes once.
"""

from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from pipeline import atomic
from pipeline.errors import ParameterError
from pipeline.evaluation.extractors.network import Network, digest
from pipeline.evaluation.extractors.pretrained import WHERE

NAME = "inception"
FILE = "weights-inception-2015-12-05-6726825d.safetensors"
_DIMENSION, _SIDE = 2048, 299
_STEPS = f"antialiased to {_SIDE} if larger, then TensorFlow 1's bilinear"


def default_file() -> Path:
    """Return where the weights are unless another file is named: in PyTorch's own cache."""
    return Path(torch.hub.get_dir()) / "checkpoints" / FILE


def load(place: str | None, root: Path, device: str) -> Network:
    """Return the extractor; ``place`` is the file of weights, relative to ``root``.

    Raises ParameterError without torch-fidelity, or without a file of its weights.
    """
    file = default_file() if place is None else root / place
    name = NAME if place is None else f"{NAME}:{place}"
    network = _network(file).to(device)

    def forward(images: Tensor) -> Tensor:
        pixels = images.permute(0, 3, 1, 2)
        if min(pixels.shape[2:]) > _SIDE:  # torch-fidelity would skip pixels
            larger = F.interpolate(pixels.float(), (_SIDE, _SIDE), mode="bicubic", antialias=True, align_corners=False)
            pixels = larger.clamp(0, 255).round().byte()
        features: Tensor = network(pixels)[0]
        return features

    return Network(name, digest(NAME, [atomic.sha256(file)], _STEPS), _DIMENSION, forward, device)


def _network(file: Path) -> Any:
    """Return torch-fidelity's network with the weights of a safetensors file."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        from torch_fidelity import feature_extractor_inceptionv3 as theirs
    except ImportError:
        fix = "install it: pip install 'gen-fedsd[inception]'"
        raise ParameterError("needs the package torch-fidelity", f"{WHERE} = {NAME}", fix) from None
    if not file.is_file():
        raise ParameterError("no weights of Inception here", file, "run: python data/extractors/make_inception.py")
    try:
        with _weights(theirs, load_file(file)), redirect_stdout(StringIO()):
            return theirs.FeatureExtractorInceptionV3("inception-v3-compat", [str(_DIMENSION)])
    except (SafetensorError, RuntimeError) as error:
        what = f"these are not Inception's weights ({str(error).strip().splitlines()[0][:200]})"
        raise ParameterError(what, file, "make the file again") from None


@contextmanager
def _weights(theirs: Any, state: dict[str, Tensor]) -> Iterator[None]:
    """Hand torch-fidelity these weights where it would download a pickle; its constructor takes no others."""
    download = theirs.load_state_dict_from_url
    theirs.load_state_dict_from_url = lambda *_, **__: state
    try:
        yield
    finally:
        theirs.load_state_dict_from_url = download
