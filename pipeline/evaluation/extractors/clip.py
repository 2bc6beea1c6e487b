"""CLIP's image embeddings (Radford et al., 2021, arXiv 2103.00020), of length 1; CMMD is defined on them."""

from pathlib import Path
from typing import Any

from torch import Tensor
from torch.nn import functional as F

from pipeline.evaluation.extractors import pretrained
from pipeline.evaluation.extractors.network import Network, Preprocessing

DEFAULT = "openai/clip-vit-large-patch14"
PREPROCESSING = Preprocessing(
    sides=((10**9, 224),),
    mean=(255 * 0.48145466, 255 * 0.4578275, 255 * 0.40821073),
    std=(255 * 0.26862954, 255 * 0.26130258, 255 * 0.27577711),
)


def load(place: str | None, root: Path, revision: str | None, device: str) -> Network:
    """Return the extractor of a folder or Hub id, see ``extractors.load``."""
    from transformers import CLIPVisionModelWithProjection

    where = (place or DEFAULT, revision, root)
    name = f"clip:{where[0]}"
    return pretrained.load(name, CLIPVisionModelWithProjection, where, PREPROCESSING, _features, device)


def _features(model: Any, inputs: Tensor) -> Tensor:
    """Return the projected embeddings (N, D) of inputs (N, 3, side, side)."""
    return F.normalize(model(pixel_values=inputs).image_embeds, dim=1)
