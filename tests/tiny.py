"""Parts of diffusion pipelines with random weights, a few kilobytes in all: 16x16 pictures from 8x8 latents."""

import json
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers


def stable_diffusion(words: Path) -> Any:
    """Return a pipeline, the same each time; its tokenizer's files are written to the folder ``words``."""
    made = tokenizer(words)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return diffusers.StableDiffusionPipeline(
            vae=vae(4, 8),
            text_encoder=clip(made),
            tokenizer=made,
            unet=unet(8),
            scheduler=diffusers.DDIMScheduler(clip_sample=False, steps_offset=1),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )


def tokenizer(folder: Path) -> Any:
    """Make CLIP's tokenizer without merges: the 256 byte symbols, the same with the end-of-word mark, and two marks."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    symbols = [chr(byte) for byte in printable] + [chr(256 + i) for i in range(256 - len(printable))]
    entries = [*symbols, *(symbol + "</w>" for symbol in symbols), "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({entry: i for i, entry in enumerate(entries)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return transformers.CLIPTokenizer.from_pretrained(str(folder), model_max_length=24)


def clip(tokenizer: Any, kind: Any = transformers.CLIPTextModel) -> Any:
    config = transformers.CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=8,
        intermediate_size=16,
        projection_dim=8,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=24,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return kind(config)


def vae(*channels: int, **options: Any) -> Any:
    return diffusers.AutoencoderKL(
        block_out_channels=channels,
        down_block_types=("DownEncoderBlock2D",) * len(channels),
        up_block_types=("UpDecoderBlock2D",) * len(channels),
        layers_per_block=1,
        norm_num_groups=2,
        latent_channels=4,
        sample_size=16,
        **options,
    )


def unet(width: int, **options: Any) -> Any:
    return diffusers.UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(4, 8),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        attention_head_dim=2,
        cross_attention_dim=width,
        norm_num_groups=2,
        **options,
    )
