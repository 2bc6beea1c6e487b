"""What the extractors of transformers share: a model's files, what it wants of pixels, and the model itself."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pipeline.errors import ParameterError
from pipeline.evaluation.extractors.network import Network, Preprocessing, digest
from pipeline.judges import files

WHERE = "evaluate.extractor"
"""The key of params.yaml that names the extractor."""
_LEVELS = 255


def load(
    name: str,
    kind: Any,
    place: tuple[str, str | None, Path],
    defaults: Preprocessing,
    features: Callable[[Any, Tensor], Tensor],
    device: str,
) -> Network:
    """Return the extractor made of a model of the class ``kind`` of transformers.

    ``place`` is a folder or Hub id, its revision, and where relative folders start. ``features`` applies the model to
    inputs. Mean, spread and size are those of the model's own preprocessing where it says them, else the defaults.
    Raises ParameterError if the model is not found, or is no such model.
    """
    folder = files.find(*place, WHERE).folder()
    # A copy of a Hub model in a folder has the same digest, since it is that of the files.
    identity = files.find(str(folder), None, folder, WHERE).identity
    model = _opened(kind, folder).eval().requires_grad_(False).to(device)
    prepare = _preprocessing(folder / "preprocessor_config.json", defaults)

    def forward(images: Tensor) -> Tensor:
        return features(model, prepare(images))

    try:
        with torch.inference_mode():
            dimension = forward(torch.zeros(1, 8, 8, 3, dtype=torch.uint8, device=device)).shape[1]
    except ValueError as error:  # its own check of the input's size
        what = f"it does not take the images that its preprocessing makes ({str(error).splitlines()[0][:200]})"
        raise ParameterError(what, folder, f"choose another {WHERE}") from None
    return Network(name, digest(kind.__name__, [identity], prepare), dimension, forward, device)


def _opened(kind: Any, folder: Path) -> Any:
    """Return a model in float32, all of whose weights are in its files."""
    try:
        model, report = kind.from_pretrained(
            str(folder), local_files_only=True, use_safetensors=True, dtype=torch.float32, output_loading_info=True
        )
    except Exception as error:  # transformers raises many types for a folder that does not fit
        what = f"it cannot be loaded as {kind.__name__} ({str(error).strip().splitlines()[0][:200]})"
        raise ParameterError(what, folder, f"choose another {WHERE}") from error
    if missing := sorted(report["missing_keys"]):  # transformers would draw them at random
        what = f"{len(missing)} weights of {kind.__name__} are not in the model's files, such as {missing[0]}"
        raise ParameterError(what, folder, f"choose another {WHERE}")
    return model


def _preprocessing(file: Path, defaults: Preprocessing) -> Preprocessing:
    """Return what a file of transformers says of pixels, with the defaults for what it leaves out."""
    if not file.is_file():
        return defaults
    try:
        said = json.loads(file.read_text(encoding="utf-8"))
        sides = defaults.sides
        if size := said.get("crop_size") or said.get("size"):
            sides = ((sides[-1][0], int(min(size.values()) if isinstance(size, dict) else size)),)
        mean, std = (
            tuple(_LEVELS * float(value) for value in said[key]) if key in said else default
            for key, default in (("image_mean", defaults.mean), ("image_std", defaults.std))
        )
    except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise ParameterError(f"cannot be read ({type(error).__name__})", file, "restore it") from None
    return Preprocessing(sides, mean, std)
