"""A Stable Diffusion pipeline written as one checkpoint, with the names that the original code gives its tensors.

The names follow diffusers' own script ``convert_diffusers_to_original_stable_diffusion.py``, for any number of blocks.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "time_emb_proj": "emb_layers.1",
    "conv_shortcut": "skip_connection",
}
_UNET = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
_ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}


def save(pipeline: Any, file: Path) -> Path:
    """Write unet, VAE and text encoder of a pipeline to one safetensors file, and return its path."""
    tensors = {f"model.diffusion_model.{name}": tensor for name, tensor in _unet(pipeline.unet)}
    tensors |= {f"first_stage_model.{name}": tensor for name, tensor in _vae(pipeline.vae)}
    for name, tensor in pipeline.text_encoder.state_dict().items():
        tensors[f"cond_stage_model.transformer.text_model.{name.removeprefix('text_model.')}"] = tensor
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, file, {"format": "pt"})
    return file


def _unet(unet: Any) -> Iterator[tuple[str, Tensor]]:
    layers = unet.config.layers_per_block
    for name, tensor in unet.state_dict().items():
        match name.split("."):
            case ["down_blocks", i, "downsamplers", _, _, end]:
                yield f"input_blocks.{(layers + 1) * (int(i) + 1)}.0.op.{end}", tensor
            case ["down_blocks", i, kind, j, *rest]:
                yield f"input_blocks.{(layers + 1) * int(i) + int(j) + 1}.{_part(kind, rest)}", tensor
            case ["up_blocks", i, "upsamplers", _, _, end]:
                attends = hasattr(unet.up_blocks[int(i)], "attentions")
                yield f"output_blocks.{(layers + 1) * int(i) + layers}.{1 + attends}.conv.{end}", tensor
            case ["up_blocks", i, kind, j, *rest]:
                yield f"output_blocks.{(layers + 1) * int(i) + int(j)}.{_part(kind, rest)}", tensor
            case ["mid_block", "attentions", _, *rest]:
                yield f"middle_block.1.{'.'.join(rest)}", tensor
            case ["mid_block", kind, j, *rest]:
                yield f"middle_block.{2 * int(j)}.{_part(kind, rest)[2:]}", tensor
            case _:
                yield _renamed(name, _UNET), tensor


def _part(kind: str, rest: list[str]) -> str:
    """Return the name of a tensor of a block: residual parts come first in it, attention second."""
    return f"0.{_renamed('.'.join(rest), _RESNET)}" if kind == "resnets" else f"1.{'.'.join(rest)}"


def _renamed(name: str, names: dict[str, str]) -> str:
    for here, there in names.items():
        if name.startswith(f"{here}."):
            return there + name.removeprefix(here)
    return name


def _vae(vae: Any) -> Iterator[tuple[str, Tensor]]:
    last = len(vae.config.block_out_channels) - 1
    for name, tensor in vae.state_dict().items():
        half, _, inner = name.partition(".")
        value = tensor
        match inner.split("."):
            case ["down_blocks", i, "downsamplers", _, *rest]:
                inner = f"down.{i}.downsample.{'.'.join(rest)}"
            case ["down_blocks", i, _, j, *rest]:
                inner = f"down.{i}.block.{j}.{'.'.join(rest)}"
            case ["up_blocks", i, "upsamplers", _, *rest]:
                inner = f"up.{last - int(i)}.upsample.{'.'.join(rest)}"
            case ["up_blocks", i, _, j, *rest]:
                inner = f"up.{last - int(i)}.block.{j}.{'.'.join(rest)}"
            case ["mid_block", "resnets", j, *rest]:
                inner = f"mid.block_{int(j) + 1}.{'.'.join(rest)}"
            case ["mid_block", "attentions", _, *rest]:
                ending = _renamed(".".join(rest), _ATTENTION)
                inner = f"mid.attn_1.{ending}"
                value = tensor[:, :, None, None] if tensor.ndim == 2 else tensor  # a 1x1 convolution there
        inner = inner.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")
        yield f"{half}.{inner}", value
