"""LoRA weights on top of a loaded pipeline. Loads torch and diffusers.

They are added to the model's own weights once, before the model moves to its device: that costs no time when images
are drawn, and the denoiser keeps the layers and shapes that make images independent of their batch.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import nn

from pipeline.errors import ParameterError
from pipeline.generation.recipe import Recipe

_NAME = "lora"
_FIX = "choose weights that were trained for this kind of model"


def add(pipeline: Any, files: Sequence[Path], recipe: Recipe) -> None:
    """Add LoRA weights to a pipeline's own, one file after the other, each with its scale.

    Raises ParameterError if a file does not fit the model, also if only some of its weights have a place there.
    """
    for file, lora in zip(files, recipe.lora, strict=True):
        where = f"params.yaml, generate.lora, {file}"
        try:
            _load(pipeline, file, where)
            parts = [name for name, found in pipeline.get_list_adapters().items() if _NAME in found]
            pipeline.fuse_lora(parts, lora_scale=lora.scale, adapter_names=[_NAME])
            pipeline.unload_lora_weights()
        except (OSError, RuntimeError, ValueError, TypeError, LookupError, AttributeError, SafetensorError) as error:
            reason = str(error).strip().partition("\n")[0]
            raise ParameterError(f"the LoRA weights do not fit the model ({reason})", where, _FIX) from error


def _load(pipeline: Any, file: Path, where: str) -> None:
    """Load a file; raise ParameterError unless all of its weights found a place. Diffusers only warns about others."""
    with safe_open(file, "pt") as opened:
        if any("dora_scale" in name for name in opened.keys()):  # noqa: SIM118  # not a mapping
            raise ParameterError("diffusers cannot add DoRA weights", where, "choose plain LoRA weights")
    config = {"unet_config": pipeline.unet.config} if hasattr(pipeline, "unet") else {}
    options = {"weight_name": file.name, "use_safetensors": True, "local_files_only": True}
    given = pipeline.lora_state_dict(str(file.parent), **options, **config)
    state = given[0] if isinstance(given, tuple) else given
    pipeline.load_lora_weights(str(file.parent), adapter_name=_NAME, **options)
    placed = sum(f".{_NAME}." in name for part in _modules(pipeline) for name, _ in part.named_parameters())
    if placed < len(state):
        what = f"{len(state) - placed} of the {len(state)} LoRA weights have no place in the model"
        raise ParameterError(what, where, _FIX)


def _modules(pipeline: Any) -> list[nn.Module]:
    return [part for part in pipeline.components.values() if isinstance(part, nn.Module)]
