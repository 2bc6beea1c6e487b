"""Kinds of pipeline besides Stable Diffusion, each with random weights and of a few kilobytes."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
import transformers
from numpy.typing import NDArray
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from pipeline.artifacts.spec import ImageSpec
from pipeline.generation import noise
from pipeline.generation.diffusion import Model
from pipeline.generation.model import ResolvedModel
from pipeline.generation.pictures import finish
from tests.generation.conftest import small_recipe
from tests.tiny import clip, unet, vae

LETTERS = "abcdefghijklmnopqrstuvwxyz"


def t5_tokenizer() -> Any:
    """A T5 tokenizer that knows letters only."""
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0), *((letter, -3.0) for letter in LETTERS)]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=2))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return transformers.T5Tokenizer(tokenizer_object=tokenizer, extra_ids=0, model_max_length=24)


def t5(width: int) -> Any:
    config = transformers.T5Config(
        vocab_size=4 + len(LETTERS), d_model=width, d_kv=4, d_ff=16, num_layers=1, num_heads=2
    )
    return transformers.T5EncoderModel(config)


def xl(tokenizer: Any) -> Any:
    return diffusers.StableDiffusionXLPipeline(
        vae=vae(4, 8),
        text_encoder=clip(tokenizer),
        text_encoder_2=clip(tokenizer, transformers.CLIPTextModelWithProjection),
        tokenizer=tokenizer,
        tokenizer_2=tokenizer,
        unet=unet(
            16,
            addition_embed_type="text_time",
            addition_time_embed_dim=2,
            projection_class_embeddings_input_dim=8 + 6 * 2,
        ),
        scheduler=diffusers.EulerDiscreteScheduler(),
        add_watermarker=False,
    )


def consistency(tokenizer: Any) -> Any:
    return diffusers.LatentConsistencyModelPipeline(
        vae=vae(4, 8),
        text_encoder=clip(tokenizer),
        tokenizer=tokenizer,
        unet=unet(8, time_cond_proj_dim=4),
        scheduler=diffusers.LCMScheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def pixart(kind: Any) -> Any:
    """PixArt draws squares of 256 pixels at least, from latents of an eighth of that."""
    return kind(
        tokenizer=t5_tokenizer(),
        text_encoder=t5(8),
        vae=vae(4, 4, 4, 8),
        transformer=diffusers.PixArtTransformer2DModel(
            num_attention_heads=2,
            attention_head_dim=4,
            in_channels=4,
            out_channels=8,
            num_layers=1,
            norm_num_groups=2,
            cross_attention_dim=8,
            sample_size=32,
            patch_size=4,
            caption_channels=8,
            use_additional_conditions=False,
        ),
        scheduler=diffusers.DPMSolverMultistepScheduler(),
    )


def sd3(tokenizer: Any) -> Any:
    return diffusers.StableDiffusion3Pipeline(
        transformer=diffusers.SD3Transformer2DModel(
            sample_size=8,
            patch_size=2,
            in_channels=4,
            num_layers=1,
            attention_head_dim=8,
            num_attention_heads=2,
            joint_attention_dim=32,
            caption_projection_dim=16,
            pooled_projection_dim=16,
            out_channels=4,
        ),
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(),
        vae=vae(4, 8, shift_factor=0.0),
        text_encoder=clip(tokenizer, transformers.CLIPTextModelWithProjection),
        tokenizer=tokenizer,
        text_encoder_2=clip(tokenizer, transformers.CLIPTextModelWithProjection),
        tokenizer_2=tokenizer,
        text_encoder_3=t5(32),
        tokenizer_3=t5_tokenizer(),
    )


def flux(tokenizer: Any) -> Any:
    return diffusers.FluxPipeline(
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(),
        vae=vae(4, 8, shift_factor=0.0),
        text_encoder=clip(tokenizer),
        tokenizer=tokenizer,
        text_encoder_2=t5(8),
        tokenizer_2=t5_tokenizer(),
        transformer=diffusers.FluxTransformer2DModel(
            patch_size=1,
            in_channels=16,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=8,
            pooled_projection_dim=8,
            guidance_embeds=True,
            axes_dims_rope=(4, 4, 8),
        ),
    )


def cogview4(_: Any) -> Any:
    """CogView4 pads texts to the longest of a batch."""
    tokenizer = t5_tokenizer()
    tokenizer.padding_side = "left"
    return diffusers.CogView4Pipeline(
        tokenizer=tokenizer,
        text_encoder=transformers.GlmModel(
            transformers.GlmConfig(
                vocab_size=len(tokenizer),
                hidden_size=32,
                intermediate_size=8,
                num_hidden_layers=1,
                num_attention_heads=4,
                num_key_value_heads=2,
                head_dim=8,
                pad_token_id=0,
                eos_token_id=1,
            )
        ),
        vae=vae(4, 8),
        transformer=diffusers.CogView4Transformer2DModel(
            patch_size=2,
            in_channels=4,
            out_channels=4,
            num_layers=1,
            attention_head_dim=4,
            num_attention_heads=4,
            text_embed_dim=32,
            time_embed_dim=8,
            condition_dim=4,
        ),
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(
            base_shift=0.25,
            max_shift=0.75,
            base_image_seq_len=256,
            use_dynamic_shifting=True,
            time_shift_type="linear",
        ),
    )


def sana(_: Any) -> Any:
    """Sana draws 1024 pixels a side unless told otherwise, from latents of a 32nd of that."""
    places, layers = 6, [0, 1, 1, 1, 1, 1]
    words = {word: i for i, word in enumerate(["<pad>", "<eos>", "<bos>", "<unk>", "▁", *LETTERS])}
    return diffusers.SanaPipeline(
        tokenizer=transformers.GemmaTokenizer(vocab=words, merges=[]),
        text_encoder=transformers.Gemma2Model(
            transformers.Gemma2Config(
                head_dim=8,
                hidden_size=8,
                intermediate_size=16,
                num_attention_heads=2,
                num_hidden_layers=1,
                num_key_value_heads=2,
                vocab_size=len(words),
            )
        ),
        vae=diffusers.AutoencoderDC(
            latent_channels=4,
            attention_head_dim=2,
            encoder_block_types="ResBlock",
            decoder_block_types="ResBlock",
            encoder_block_out_channels=(4,) * places,
            decoder_block_out_channels=(4,) * places,
            encoder_qkv_multiscales=((),) * places,
            decoder_qkv_multiscales=((),) * places,
            encoder_layers_per_block=tuple(layers),
            decoder_layers_per_block=layers,
            downsample_block_type="conv",
            upsample_block_type="interpolate",
        ),
        transformer=diffusers.SanaTransformer2DModel(
            patch_size=1,
            in_channels=4,
            out_channels=4,
            num_layers=1,
            num_attention_heads=2,
            attention_head_dim=4,
            num_cross_attention_heads=2,
            cross_attention_head_dim=4,
            cross_attention_dim=8,
            caption_channels=8,
            sample_size=32,
        ),
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=7.0),
    )


@dataclass(frozen=True)
class Kind:
    """A pipeline, how a recipe for it differs from one of Stable Diffusion, and what its users know of it."""

    build: Callable[[Any], Any]
    name: str
    drawn: int = 16
    """Pixels a side that it draws."""
    recipe: dict[str, Any] = field(default_factory=dict)
    heeds_negative: bool = True


KINDS = {
    "sdxl": Kind(xl, "StableDiffusionXLPipeline"),
    "sdxl-half": Kind(xl, "StableDiffusionXLPipeline", recipe={"dtype": "float16"}),
    "sdxl-turbo": Kind(xl, "StableDiffusionXLPipeline", recipe={"guidance": (0.0,), "steps": 1}, heeds_negative=False),
    "lcm": Kind(
        consistency, "LatentConsistencyModelPipeline", recipe={"guidance": (8.0,), "steps": 4}, heeds_negative=False
    ),
    "pixart-alpha": Kind(lambda _: pixart(diffusers.PixArtAlphaPipeline), "PixArtAlphaPipeline", drawn=256),
    "pixart-alpha-plain": Kind(
        lambda _: pixart(diffusers.PixArtAlphaPipeline),
        "PixArtAlphaPipeline",
        drawn=256,
        recipe={"guidance": (1.0,)},
        heeds_negative=False,
    ),
    "pixart-sigma": Kind(lambda _: pixart(diffusers.PixArtSigmaPipeline), "PixArtSigmaPipeline", drawn=256),
    "sd3": Kind(sd3, "StableDiffusion3Pipeline", recipe={"guidance": (5.0,)}),
    "cogview4": Kind(cogview4, "CogView4Pipeline", recipe={"render_size": 16}),
    "flux": Kind(flux, "FluxPipeline", recipe={"render_size": 16}, heeds_negative=False),
}


@dataclass(frozen=True)
class Loaded:
    kind: Kind
    folder: Path
    model: Model

    @property
    def specs(self) -> list[ImageSpec]:
        """Four images of two classes."""
        return [self.model.recipe.spec("0", name, i) for name in ("bag", "Dotted Dress") for i in range(2)]


def load(kind: Kind, folder: Path, **changes: Any) -> Model:
    recipe = replace(small_recipe(), guidance=(3.0,), image_size=12)
    return Model(ResolvedModel(replace(recipe, **kind.recipe, **changes), str(folder), None), "cpu")


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Callable[[Kind], Path]:
    """A function that saves a pipeline of a kind, once, and returns its folder."""
    tokenizer = transformers.CLIPTokenizer.from_pretrained(tiny_model / "tokenizer")

    @cache
    def save(name: str, build: Callable[[Any], Any]) -> Path:
        folder = tmp_path_factory.mktemp("models") / name
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(3)
            build(tokenizer).save_pretrained(folder)
        return folder

    return lambda kind: save(kind.name, kind.build)


# In float16 diffusers' own pipeline calls its own method that it has deprecated.
UPCAST = pytest.mark.filterwarnings("ignore:`upcast_vae` is deprecated:FutureWarning")


@pytest.fixture(
    scope="module", params=[pytest.param(name, marks=UPCAST if name == "sdxl-half" else ()) for name in KINDS]
)
def loaded(request: pytest.FixtureRequest, saved: Callable[[Kind], Path]) -> Loaded:
    kind = KINDS[request.param]
    folder = saved(kind)
    return Loaded(kind, folder, load(kind, folder))


def images(model: Model, specs: list[ImageSpec]) -> list[bytes]:
    return [levels.tobytes() for levels in model.draw(specs)]


def test_images_are_finite_differ_and_are_stored_at_the_recipes_size(loaded: Loaded) -> None:
    model, kind = loaded.model, loaded.kind
    assert type(model.pipeline).__name__ == kind.name
    drawn = model.draw(loaded.specs)
    assert drawn.dtype == np.uint8
    assert drawn.shape == (4, kind.drawn, kind.drawn, 3)
    assert len({levels.tobytes() for levels in drawn}) == 4
    for levels in drawn:
        picture = finish(levels, model.recipe)
        assert picture is not None
        assert int.from_bytes(picture.image[16:20]) == int.from_bytes(picture.image[20:24]) == 12


def test_equal_seeds_give_equal_bytes_also_after_loading_again(loaded: Loaded) -> None:
    first = images(loaded.model, loaded.specs)
    assert images(loaded.model, loaded.specs) == first
    assert images(load(loaded.kind, loaded.folder), loaded.specs) == first
    other = [replace(spec, seed=spec.seed + 1) for spec in loaded.specs]
    assert not set(images(loaded.model, other)) & set(first)


def test_place_batch_mates_and_padding_do_not_matter(loaded: Loaded, independent: Callable[[Model], None]) -> None:
    independent(loaded.model)


def direct(loaded: Loaded, specs: list[ImageSpec]) -> NDArray[np.float64]:
    """Return levels as the pipeline itself draws them, given lists of texts."""
    recipe = loaded.model.recipe
    pipeline = diffusers.DiffusionPipeline.from_pretrained(loaded.folder, dtype=getattr(torch, recipe.dtype))
    assert type(pipeline).__name__ == loaded.kind.name
    pipeline.set_progress_bar_config(disable=True)
    negative = [spec.negative_prompt for spec in specs]
    drawn = pipeline(
        prompt=[spec.prompt for spec in specs],
        guidance_scale=specs[0].guidance,
        num_inference_steps=recipe.steps,
        generator=[noise.generator(spec.seed) for spec in specs],
        output_type="np",
        **({"negative_prompt": negative} if loaded.kind.heeds_negative and any(negative) else {}),
        **({"height": recipe.render_size, "width": recipe.render_size} if recipe.render_size else {}),
    ).images
    levels: NDArray[np.float64] = (drawn.astype(float) * 255).round()
    return levels


@pytest.mark.parametrize("negative", ["", "dark and blurry"])
def test_images_are_what_the_pipeline_itself_draws_for_the_text(loaded: Loaded, negative: str) -> None:
    """But for rounding: here each text is encoded alone, there all together."""
    specs = [replace(spec, negative_prompt=negative) for spec in loaded.specs]
    difference = np.abs(loaded.model.draw(specs) - direct(loaded, specs))
    assert difference.max() <= (2 if loaded.model.recipe.dtype == "float16" else 1)
    assert difference.mean() < 0.05


def test_the_prompt_shows_and_a_negative_prompt_where_it_is_heeded(loaded: Loaded) -> None:
    model, spec = loaded.model, loaded.specs[0]
    (plain,) = images(model, [spec])
    assert images(model, [replace(spec, prompt="zzz zz zzzz")]) != [plain]
    assert (images(model, [replace(spec, negative_prompt="zzz zz")]) != [plain]) == loaded.kind.heeds_negative
    without = replace(spec, guidance=1.0)
    assert images(model, [replace(without, negative_prompt="zzz zz")]) == images(model, [without])


def test_the_guidance_scale_shows(loaded: Loaded) -> None:
    """Turbo and PixArt without guidance are drawn with some here, which their users would not do."""
    model, spec = loaded.model, loaded.specs[0]
    assert len({images(model, [replace(spec, guidance=scale)])[0] for scale in (1.0, 6.0, 30.0)}) == 3


@pytest.mark.parametrize(
    ("name", "expected"),
    [("sdxl", 2), ("sdxl-turbo", 2), ("lcm", 2), ("pixart-sigma", 3), ("pixart-alpha-plain", 2), ("sd3", 28)],
)
def test_embeddings_are_kept_from_batch_to_batch(saved: Callable[[Kind], Path], name: str, expected: int) -> None:
    """Of a kind that takes embeddings, the last text encoder runs once for each of two texts; of others for each image.

    Guided PixArt and SD3 also encode the empty negative prompt: PixArt once, SD3 for each of 14 images.
    """
    model = load(KINDS[name], saved(KINDS[name]))
    pipeline = model.pipeline
    encoder = pipeline.components[max(part for part in pipeline.components if part.startswith("text_encoder"))]
    runs: list[int] = []
    encoder.register_forward_hook(lambda *_: runs.append(1))
    bags = [model.recipe.spec("0", "bag", i) for i in range(4)]
    for batch in (bags, [replace(spec, prompt="a hat") for spec in bags], bags, bags[:2]):
        model.draw(batch)
    assert len(runs) == expected


def test_a_size_that_is_not_given_is_the_pipelines_own(saved: Callable[[Kind], Path]) -> None:
    """Some pipelines have their size as an argument's default, which None must not replace."""
    kind = Kind(sana, "SanaPipeline", recipe={"batch_size": 1, "steps": 1})
    model = load(kind, saved(kind))
    assert model.draw([model.recipe.spec("0", "bag", 0)]).shape == (1, 1024, 1024, 3)
