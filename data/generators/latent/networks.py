"""The four parts of a generator, in Stable Diffusion's format."""

from diffusers import AutoencoderKL, DPMSolverMultistepScheduler, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from latent.recipe import CaptionsRecipe, Recipe, groups

_HEAD = 32
"""Channels of a head of the text encoder."""


def text_encoder(recipe: CaptionsRecipe, tokenizer: CLIPTokenizer) -> CLIPTextModel:
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=recipe.width,
            intermediate_size=4 * recipe.width,
            projection_dim=recipe.width,
            num_hidden_layers=recipe.layers,
            num_attention_heads=max(recipe.width // _HEAD, 1),
            max_position_embeddings=recipe.tokens,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def autoencoder(recipe: Recipe, size: int) -> AutoencoderKL:
    """Return the network between pictures (3, size, size) and latents of ``latent_channels``."""
    widths = recipe.autoencoder.widths
    made = AutoencoderKL(
        block_out_channels=widths,
        down_block_types=("DownEncoderBlock2D",) * len(widths),
        up_block_types=("UpDecoderBlock2D",) * len(widths),
        layers_per_block=1,
        norm_num_groups=groups(widths),
        latent_channels=recipe.autoencoder.latent_channels,
        sample_size=size,
    )
    made.set_attn_processor(AttnProcessor())  # the fused kernel's backward is slow on sequences this short
    return made


def unet(recipe: Recipe, side: int) -> UNet2DConditionModel:
    """Return the denoiser of latents (latent_channels, side, side); all but the first width attend to the caption."""
    widths, channels = recipe.diffusion.widths, recipe.autoencoder.latent_channels
    deeper = len(widths) - 1
    made = UNet2DConditionModel(
        sample_size=side,
        in_channels=channels,
        out_channels=channels,
        block_out_channels=widths,
        down_block_types=("DownBlock2D", *("CrossAttnDownBlock2D",) * deeper),
        up_block_types=(*("CrossAttnUpBlock2D",) * deeper, "UpBlock2D"),
        layers_per_block=1,
        attention_head_dim=2,
        cross_attention_dim=recipe.captions.width,
        norm_num_groups=groups(widths),
    )
    made.set_attn_processor(AttnProcessor())
    return made


def scheduler() -> DPMSolverMultistepScheduler:
    """Return Stable Diffusion's noise schedule, for a model that predicts the velocity."""
    return DPMSolverMultistepScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        steps_offset=1,
    )
