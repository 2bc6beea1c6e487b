"""What the pre-trained judges share: the parts of a model from one local folder, and images as it reads them."""

import hashlib
import json
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from PIL import Image

from pipeline.errors import ParameterError
from pipeline.judges.judge import Images, in_batches

_VERSION = 1
"""Raise it when a change of code changes what a judge answers."""


def digest(identity: str, classes: object) -> str:
    """Return what decides the answers of a pre-trained judge; ``classes`` is how it knows ours."""
    text = json.dumps([_VERSION, version("transformers"), version("torch"), identity, classes])
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def opened(kind: Any, folder: Path, where: str, **options: Any) -> Any:
    """Return one part of a model in a local folder; raise ParameterError if transformers cannot load it."""
    transformers.utils.logging.disable_progress_bar()
    try:
        return kind.from_pretrained(str(folder), local_files_only=True, **options)
    except Exception as error:  # transformers raises many types for a folder that does not fit
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise ParameterError(f"no {kind.__name__} ({reason})", folder, f"choose another {where}") from error


def model(kind: Any, folder: Path, where: str, device: str) -> Any:
    """Return a model in a local folder, on a device; raise ParameterError if its files lack some of its weights."""
    made, report = opened(kind, folder, where, use_safetensors=True, output_loading_info=True)
    # transformers would draw them at random.
    if missing := sorted(report["missing_keys"]):
        what = f"{len(missing)} weights of {kind.__name__} are not in the model's files, such as {missing[0]}"
        raise ParameterError(what, folder, f"choose another {where}")
    return made.eval().to(device)


@torch.inference_mode()
def rows(
    images: Images, width: int, processor: Any, answer: Callable[[torch.Tensor], torch.Tensor], device: str
) -> NDArray[np.float32]:
    """Return what ``answer`` says of images (N, H, W, 3), (N, width); it is asked for batches of one shape."""
    found = [np.empty((0, width), np.float32)]
    for batch, count in in_batches(images):
        each = [processor(images=Image.fromarray(one), return_tensors="pt")["pixel_values"] for one in batch]
        found.append(answer(torch.cat(each).to(device)).float()[:count].cpu().numpy())
    return np.concatenate(found)
