"""DINOv2 (Oquab et al., 2023, arXiv 2304.07193): what published comparisons of image metrics recommend.

ViT-B/14 unless another place is named; the values of papers are mostly ViT-L/14's (``facebook/dinov2-large``).
"""

from pathlib import Path
from typing import Any

from torch import Tensor

from pipeline.evaluation.extractors import pretrained
from pipeline.evaluation.extractors.network import Network, Preprocessing

DEFAULT = "facebook/dinov2-base"
PREPROCESSING = Preprocessing(
    sides=((10**9, 224),), mean=(255 * 0.485, 255 * 0.456, 255 * 0.406), std=(255 * 0.229, 255 * 0.224, 255 * 0.225)
)


def load(place: str | None, root: Path, revision: str | None, device: str) -> Network:
    """Return the extractor of a folder or Hub id, see ``extractors.load``."""
    from transformers import Dinov2Model

    where = (place or DEFAULT, revision, root)
    return pretrained.load(f"dinov2:{where[0]}", Dinov2Model, where, PREPROCESSING, _features, device)


def _features(model: Any, inputs: Tensor) -> Tensor:
    """Return the class token after the last normalisation (N, D) for inputs (N, 3, side, side)."""
    token: Tensor = model(pixel_values=inputs).last_hidden_state[:, 0]
    return token
