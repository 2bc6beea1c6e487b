import json
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.artifacts.spec import ImageSpec
from pipeline.errors import GenerationError, ParameterError
from pipeline.generation import diffusion, noise
from pipeline.generation.diffusion import Model
from pipeline.generation.model import ResolvedModel
from pipeline.generation.pictures import FAINT, finish
from pipeline.generation.plan import batches
from pipeline.generation.recipe import FORMAT_VERSION, Recipe

Check = Callable[[Model], None]
Hook = Callable[[torch.nn.Module, Any, Any], Any]

ROOT = Path(__file__).parents[2]


def specs_of(model: Model, names: str) -> list[ImageSpec]:
    """Return one spec for each letter: it is the class name, and its place the index."""
    return [model.recipe.spec("0", name, i) for i, name in enumerate(names)]


def images(model: Model, specs: list[ImageSpec]) -> list[bytes]:
    return [levels.tobytes() for levels in model.draw(specs)]


def model_of(resolved: ResolvedModel, **changes: Any) -> Model:
    return Model(replace(resolved, recipe=replace(resolved.recipe, **changes)), "cpu")


def at_scales(model: Model, *scales: float) -> list[bytes]:
    """Draw one image at each scale."""
    spec = model.recipe.spec("0", "a", 0)
    return [images(model, [replace(spec, guidance=scale)])[0] for scale in scales]


def test_an_image_does_not_depend_on_its_place_or_batch_mates_guided(guided: Model, independent: Check) -> None:
    independent(guided)


def test_an_image_does_not_depend_on_its_place_or_batch_mates_unguided(unguided: Model, independent: Check) -> None:
    independent(unguided)


def test_independence_holds_for_schedulers_that_draw_noise_of_their_own(
    resolved: ResolvedModel, independent: Check
) -> None:
    independent(model_of(resolved, scheduler="DDPMScheduler"))


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_independence_holds_in_other_arithmetic(resolved: ResolvedModel, independent: Check, dtype: str) -> None:
    model = model_of(resolved, dtype=dtype)
    for part in (model.pipeline.unet, model.pipeline.vae, model.pipeline.text_encoder):
        assert part.dtype == getattr(torch, dtype)
    independent(model)


@cache
def loaded(
    folder: Path, dtype: str, scales: tuple[float, ...]
) -> tuple[Model, list[ImageSpec], dict[ImageSpec, bytes]]:
    """Load a model with batches of 4; return it, nine specs of lanes and classes, and the bytes that each has alone."""
    recipe = Recipe.from_dict(
        {
            "seed": 11,
            "model": "sha256:0",
            "variant": None,
            "scheduler": None,
            "scheduler_options": {},
            "steps": 2,
            "guidance": list(scales),
            "prompts": {"templates": ["a photo of a {class}", "{class}, {light}"], "light": ["dim", "bright light"]},
            "negative_prompt": "blurry",
            "render_size": None,
            "image_size": 16,
            "image_format": "png",
            "quality": None,
            "dtype": dtype,
            "format_version": FORMAT_VERSION,
            "batch_size": 4,
            "compile": False,
        }
    )
    model = Model(ResolvedModel(recipe, str(folder), None), "cpu")
    specs = [recipe.spec(lane, name, i) for lane in "01" for name in ("bag", "ankle boot") for i in range(2)]
    specs.append(recipe.spec("0", "bag", 0, retry=1))
    return model, specs, {spec: images(model, [spec])[0] for spec in specs}


FEW = settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
"""Each example draws a few batches; the fixtures used only name folders and may be shared by examples."""


def check_any_batches(folder: Path, dtype: str, scales: tuple[float, ...], order: list[int], size: int) -> None:
    model, specs, alone = loaded(folder, dtype, scales)
    assert len(set(alone.values())) == len(specs)
    assert len({spec.guidance for spec in specs}) > 1
    drawn: dict[ImageSpec, bytes] = {}
    for batch in batches([specs[i] for i in order], size):
        drawn |= dict(zip(batch, images(model, batch), strict=True))
    assert drawn == {specs[i]: alone[specs[i]] for i in order}


ORDERS = st.lists(st.integers(0, 8), min_size=1, max_size=9, unique=True)


@FEW
@given(order=ORDERS, size=st.integers(1, 4))
def test_any_subset_order_and_batches_give_each_image_its_bytes(tiny_model: Path, order: list[int], size: int) -> None:
    check_any_batches(tiny_model, "float32", (1.0, 2.0, 7.5), order, size)


@FEW
@given(order=ORDERS, size=st.integers(1, 4))
def test_so_they_do_with_the_demo_model_in_bfloat16(order: list[int], size: int) -> None:
    check_any_batches(ROOT / "data/demo/model", "bfloat16", (1.0, 3.0), order, size)


def test_every_call_has_the_same_shape(guided: Model) -> None:
    """Other shapes may choose other kernels. With guidance the network sees each of the 4 images twice."""
    shapes: list[tuple[int, ...]] = []

    def note(_: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        shapes.append(tuple(inputs[0].shape))

    hook = guided.pipeline.unet.register_forward_pre_hook(note)
    for names in ("a", "abc", "abcd"):
        assert guided.draw(specs_of(guided, names)).shape == (len(names), 16, 16, 3)
    hook.remove()
    assert set(shapes) == {(8, 4, 8, 8)}


def test_a_model_on_the_cpu_computes_on_one_thread(resolved: ResolvedModel) -> None:
    """More threads would split sums otherwise and so change bytes with the number of cores."""
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        Model(resolved, "cpu")
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


def test_a_freshly_loaded_model_draws_the_same(guided: Model, resolved: ResolvedModel) -> None:
    specs = specs_of(guided, "ab")
    guided.draw(specs_of(guided, "cdba"))
    assert images(Model(resolved, "cpu"), specs) == images(guided, specs)


def test_the_state_of_torchs_generator_neither_matters_nor_changes(guided: Model) -> None:
    specs = specs_of(guided, "a")
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    first = images(guided, specs)
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(2)
    assert images(guided, specs) == first


def test_seed_prompt_negative_and_guidance_all_show(guided: Model, unguided: Model) -> None:
    spec = guided.recipe.spec("0", "a", 0)
    variants = [
        spec,
        replace(spec, seed=spec.seed + 1),
        replace(spec, prompt="zzz zzz zzz zzz"),
        replace(spec, negative_prompt="zzz zzz zzz zzz"),
    ]
    drawn = [*images(guided, variants), *images(unguided, [replace(spec, guidance=1.0)])]
    assert len(set(drawn)) == 5


def test_the_guidance_is_the_images_not_the_models(guided: Model, unguided: Model) -> None:
    """One loaded model draws all scales of a recipe, and draws each as a model of that scale alone does."""
    drawn = at_scales(guided, 1.0, 2.0, 9.0, 1.0)
    assert len(set(drawn)) == 3
    assert drawn[0] == drawn[3]
    assert at_scales(unguided, 1.0, 2.0, 9.0) == drawn[:3]


@pytest.mark.parametrize("scale", [0.0, 0.5, 1.0])
def test_without_guidance_the_negative_prompt_has_no_effect(unguided: Model, scale: float) -> None:
    """The network sees each image once, and no negative prompt is encoded."""
    spec = replace(unguided.recipe.spec("0", "a", 0), guidance=scale)
    seen: list[int] = []
    encoded: list[int] = []
    unguided.pipeline.unet.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    unguided.pipeline.text_encoder.register_forward_hook(lambda *_: encoded.append(1))
    (plain,) = images(unguided, [spec])
    assert len(encoded) == 1
    assert images(unguided, [replace(spec, negative_prompt="zzz zzz zzz zzz")]) == [plain]
    assert set(seen) == {4}


def test_images_are_what_the_pipeline_itself_draws_for_the_text(guided: Model, tiny_model: Path) -> None:
    """Called directly, with a list of texts and the same generators, in one batch."""
    from diffusers import StableDiffusionPipeline

    specs = [replace(spec, negative_prompt="zzz") for spec in specs_of(guided, "abcd")]
    pipeline = StableDiffusionPipeline.from_pretrained(tiny_model)
    pipeline.set_progress_bar_config(disable=True)
    direct = pipeline(
        [spec.prompt for spec in specs],
        negative_prompt=["zzz"] * 4,
        guidance_scale=2.0,
        num_inference_steps=2,
        generator=[noise.generator(spec.seed) for spec in specs],
        output_type="np",
    ).images
    difference = np.abs(guided.draw(specs) - (direct * 255).round())
    assert difference.max() <= 1
    assert difference.mean() < 0.05


def test_each_distinct_prompt_is_encoded_once(resolved: ResolvedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pipeline's own calls, which pass embeddings on, do not count; padding and later batches add none."""
    model = Model(resolved, "cpu")
    encode, encoded = model.pipeline.encode_prompt, []

    def counting(*args: Any, **options: Any) -> Any:
        prompt = options.get("prompt", args[0] if args else None)
        if prompt is not None:
            encoded.append((prompt, options.get("negative_prompt")))
        return encode(*args, **options)

    monkeypatch.setattr(model.pipeline, "encode_prompt", counting)
    first = images(model, specs_of(model, "aba"))
    assert encoded == [("a photo of a a", None), ("a photo of a b", None)]
    assert images(model, [*specs_of(model, "aba"), model.recipe.spec("3", "b", 9)])[:3] == first
    assert len(encoded) == 2
    model.draw([replace(spec, negative_prompt="dark") for spec in specs_of(model, "bb")])
    assert encoded[2:] == [("a photo of a b", "dark")]


@pytest.mark.parametrize(("megabytes", "encoded"), [(1024, 601), (0.1, 1201)])
def test_each_text_is_encoded_once_while_embeddings_fit(
    resolved: ResolvedModel, monkeypatch: pytest.MonkeyPatch, megabytes: float, encoded: int
) -> None:
    """As for two clients of 600 classes each: 600 prompts and one negative.

    In 0.1 MB there is room for 130 of the tiny model's 768 bytes (24 places of 8 numbers), and each prompt is gone when
    it comes again; the negative prompt, used most, stays. The bytes are the same.
    """
    monkeypatch.setattr(diffusion, "_KEPT_BYTES", int(megabytes * 1_000_000))
    model = model_of(resolved, batch_size=60, steps=1)
    runs: list[int] = []
    model.pipeline.text_encoder.register_forward_hook(lambda *_: runs.append(1))
    client = [replace(model.recipe.spec("0", f"class {i}", 0), negative_prompt="dark") for i in range(600)]
    first, second = ([image for batch in batches(client, 60) for image in images(model, batch)] for _ in range(2))
    assert first == second
    assert len(runs) == encoded
    assert model._embeddings._bytes == sum(map(diffusion._size, model._embeddings._kept.values()))
    assert model._embeddings._bytes <= megabytes * 1_000_000


def test_a_negative_prompt_is_encoded_once_for_all_prompts(resolved: ResolvedModel, guided: Model) -> None:
    """Also if the prompts were encoded for unguided images before; the images are those of a model that had not."""
    model = model_of(resolved, guidance=(1.0, 2.0))
    runs: list[int] = []
    model.pipeline.text_encoder.register_forward_hook(lambda *_: runs.append(1))
    specs = [replace(spec, negative_prompt="dark") for spec in specs_of(model, "ab")]
    model.draw([replace(spec, guidance=1.0) for spec in specs])
    drawn = [images(model, [replace(spec, guidance=2.0)])[0] for spec in specs]
    assert len(runs) == 3
    assert drawn == images(guided, [replace(spec, guidance=2.0) for spec in specs])


def test_images_are_drawn_at_the_render_size(resolved: ResolvedModel) -> None:
    model = model_of(resolved, render_size=32)
    assert model.draw(specs_of(model, "a")).shape == (1, 32, 32, 3)


@pytest.mark.parametrize("factor", [float("nan"), 0.0, 1e-6])
def test_images_that_are_not_finite_or_flat_are_none(resolved: ResolvedModel, scaled: Any, factor: float) -> None:
    model = Model(replace(resolved, model=str(scaled(factor))), "cpu")
    assert [finish(levels, resolved.recipe) for levels in model.draw(specs_of(model, "abc"))] == [None] * 3


def test_faint_images_are_kept_and_flagged(resolved: ResolvedModel, scaled: Any) -> None:
    model = Model(replace(resolved, model=str(scaled(0.02))), "cpu")
    pictures = [finish(levels, resolved.recipe) for levels in model.draw(specs_of(model, "abc"))]
    assert [picture and picture.flags for picture in pictures] == [FAINT] * 3


@pytest.fixture
def hooked(resolved: ResolvedModel) -> Callable[[str, Hook], Model]:
    """A function that loads the tiny model and hooks a function to the output of the unet or a part of the VAE."""

    def load(part: str, hook: Hook) -> Model:
        model = Model(resolved, "cpu")
        whole = model.pipeline.unet if part == "unet" else model.pipeline.vae.get_submodule(part)
        whole.register_forward_hook(hook)
        return model

    return load


def spoil(place: int, value: float) -> Hook:
    """Return a hook that sets one number of one image to the value."""

    def hook(_: torch.nn.Module, __: Any, made: Any) -> Any:
        tensor = made[0] if isinstance(made, tuple) else made
        tensor[place, 1, 2, 3] = value
        return made

    return hook


def check_only_one_is_spoilt(model: Model, guided: Model, place: int) -> None:
    """The image at the place is black and not kept; the other three have the bytes of a model that nothing spoils.

    So it is in every batch.
    """
    specs = specs_of(guided, "abcd")
    expected = guided.draw(specs)
    for _ in range(2):
        drawn = model.draw(specs)
        for i in range(4):
            assert np.array_equal(drawn[i], expected[i] if i != place else np.zeros((16, 16, 3)))
            assert (finish(drawn[i], model.recipe) is None) == (i == place)


@pytest.mark.parametrize("place", [0, 3])
@pytest.mark.parametrize("half", [0, 4])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_latents_that_are_not_finite_spoil_one_image_only(
    hooked: Callable[[str, Hook], Model], guided: Model, place: int, half: int, value: float
) -> None:
    """The network sees the images once without the prompt (half 0) and once with it (half 4)."""
    check_only_one_is_spoilt(hooked("unet", spoil(half + place, value)), guided, place)


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan")])
def test_pixels_that_are_not_finite_are_found_before_they_are_clamped(
    hooked: Callable[[str, Hook], Model], guided: Model, value: float
) -> None:
    """Clamped, an infinity would be a white or black dot."""
    check_only_one_is_spoilt(hooked("decoder.conv_out", spoil(2, value)), guided, 2)


def test_latents_that_are_not_finite_are_found_even_if_the_pixels_are(
    hooked: Callable[[str, Hook], Model], guided: Model
) -> None:
    """The decoder's first layer is made to hide what it reads."""
    model = hooked("post_quant_conv", spoil(1, float("inf")))
    model.pipeline.vae.decoder.conv_in.register_forward_hook(lambda _, __, made: made.nan_to_num(0, 1, -1))
    check_only_one_is_spoilt(model, guided, 1)


def test_a_draw_after_one_that_failed_starts_afresh(hooked: Callable[[str, Hook], Model], guided: Model) -> None:
    """What the decoder wrote before an error says nothing about the next batch."""
    model = hooked("decoder.conv_out", spoil(2, float("inf")))

    def fail(*_: Any) -> None:
        raise RuntimeError("broken")

    hook = model.pipeline.vae.decoder.register_forward_hook(fail)
    with pytest.raises(RuntimeError, match="broken"):
        model.draw(specs_of(guided, "abcd"))
    hook.remove()
    check_only_one_is_spoilt(model, guided, 2)


def test_decoding_in_slices_and_tiles_still_works(resolved: ResolvedModel, guided: Model) -> None:
    """Slices call the decoder once for each image; tiles call it several times for all of them."""
    specs = specs_of(guided, "abcd")
    model = Model(resolved, "cpu")
    model.pipeline.vae.enable_slicing()
    sliced = model.draw(specs)
    assert np.abs(sliced.astype(int) - guided.draw(specs)).max() <= 1
    model.pipeline.vae.disable_slicing()
    model.pipeline.vae.enable_tiling()
    model.pipeline.vae.tile_latent_min_size = 4
    assert len({image.tobytes() for image in model.draw(specs)}) == 4


def test_too_little_memory_is_one_line_that_names_the_batch_size(resolved: ResolvedModel) -> None:
    """Latents of 256 TB for each image: more than a process can address, whatever the machine promises."""
    model = model_of(resolved, render_size=8_000_000)
    with pytest.raises(GenerationError) as caught:
        model.draw(specs_of(model, "a"))
    assert str(caught.value) == (
        "out of memory on cpu: params.yaml, generate.batch_size = 4: lower generate.render_size, or "
        "generate.batch_size (part of the recipe: all images are rendered again)"
    )


def test_other_errors_of_the_pipeline_stay_what_they_are(resolved: ResolvedModel) -> None:
    model = Model(resolved, "cpu")
    model.pipeline.unet.conv_in = torch.nn.Conv2d(3, 4, 3)
    with pytest.raises(RuntimeError, match="to have 3 channels"):
        model.draw(specs_of(model, "a"))


@pytest.fixture(scope="module")
def one_block(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model with its denoiser cut down to one small block, since compiling takes long."""
    from diffusers import UNet2DConditionModel

    folder = shutil.copytree(tiny_model, tmp_path_factory.mktemp("one block") / "model")
    shutil.rmtree(folder / "unet")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        UNet2DConditionModel(
            sample_size=8,
            block_out_channels=(4,),
            down_block_types=("DownBlock2D",),
            up_block_types=("UpBlock2D",),
            mid_block_type=None,
            layers_per_block=1,
            cross_attention_dim=8,
            norm_num_groups=2,
        ).save_pretrained(folder / "unet")
    return folder


@pytest.mark.skipif(shutil.which(os.environ.get("CXX", "g++")) is None, reason="torch.compile needs a C++ compiler")
def test_a_compiled_model_draws_the_same_but_for_rounding(
    resolved: ResolvedModel, one_block: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "compiled"))
    here = replace(resolved, model=str(one_block))
    plain, compiled = model_of(here), model_of(here, compile=True)
    specs = specs_of(plain, "abcd")
    drawn = compiled.draw(specs)
    assert compiled.pipeline.unet._compiled_call_impl is not None
    assert list((tmp_path / "compiled").rglob("*.cpp"))
    assert np.abs(drawn.astype(int) - plain.draw(specs)).max() <= 3
    assert np.array_equal(compiled.draw(specs[2:]), drawn[2:])


def test_without_compile_nothing_is_compiled(guided: Model) -> None:
    assert guided.pipeline.unet._compiled_call_impl is None


def test_a_scheduler_can_be_chosen_and_set(resolved: ResolvedModel, guided: Model) -> None:
    model = model_of(resolved, scheduler="PNDMScheduler", scheduler_options={"skip_prk_steps": True})
    assert type(model.pipeline.scheduler).__name__ == "PNDMScheduler"
    assert model.pipeline.scheduler.config.skip_prk_steps is True
    trailing = model_of(resolved, scheduler_options={"timestep_spacing": "trailing"})
    assert type(trailing.pipeline.scheduler) is type(guided.pipeline.scheduler)
    assert trailing.pipeline.scheduler.config.timestep_spacing == "trailing"
    assert images(trailing, specs_of(guided, "a")) != images(guided, specs_of(guided, "a"))


def test_a_misspelled_option_of_the_scheduler_is_refused(resolved: ResolvedModel) -> None:
    """Diffusers itself only warns, and draws without it."""
    message = r"^DDIMScheduler has no such option: .*scheduler_options\.timestep_spacin: one of num_train_timesteps, "
    with pytest.raises(ParameterError, match=message):
        model_of(resolved, scheduler_options={"timestep_spacin": "trailing"})


def test_compiling_without_a_compiler_is_one_line(resolved: ResolvedModel, one_block: Path, tmp_path: Path) -> None:
    """In a process of its own, since a process looks for its compiler once."""
    code = (
        "import pickle, sys\n"
        "from pipeline.errors import GenerationError\n"
        "from pipeline.generation.diffusion import Model\n"
        "resolved = pickle.load(sys.stdin.buffer)\n"
        "try:\n"
        "    Model(resolved, 'cpu').draw([resolved.recipe.spec('0', 'bag', 0)])\n"
        "except GenerationError as error:\n"
        "    print(error)\n"
    )
    recipe = replace(resolved.recipe, compile=True)
    compiled = pickle.dumps(replace(resolved, recipe=recipe, model=str(one_block)))
    environment = {**os.environ, "CXX": "/no/such/compiler", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", code]
    said = subprocess.run(command, input=compiled, env=environment, capture_output=True, check=True).stdout.decode()
    assert said.startswith("InvalidCxxCompiler: ")
    assert ": params.yaml, generate.compile: install a C++ compiler (Triton on CUDA), or set it to fal" in said
    assert said.count("\n") == 1


SETTINGS: dict[str, Any] = {
    "generate.render_size = 100": {"render_size": 100},
    "generate.steps = 2000": {"steps": 2000},
    "generate.scheduler_options = {'beta_schedule': 'nosuch'}": {"scheduler_options": {"beta_schedule": "nosuch"}},
    "generate.scheduler_options = {'timestep_spacing': 'nosuch'}": {
        "scheduler_options": {"timestep_spacing": "nosuch"}
    },
    "generate.scheduler_options = {'trained_betas': 'x'}": {"scheduler_options": {"trained_betas": "x"}},
    "generate.scheduler_options = {'prediction_type': 'nosuch'}": {"scheduler_options": {"prediction_type": "nosuch"}},
    "generate.scheduler = 'EulerDiscreteScheduler', generate.scheduler_options = {'timestep_spacing': 1}": {
        "scheduler": "EulerDiscreteScheduler",
        "scheduler_options": {"timestep_spacing": 1},
    },
}


@pytest.mark.parametrize("where", SETTINGS)
@pytest.mark.parametrize("folder", ["tiny", "demo"])
def test_a_setting_that_cannot_be_used_is_named(resolved: ResolvedModel, folder: str, where: str) -> None:
    """The tiny model's own scheduler is DDIM, the demo's DPM-Solver."""
    if folder == "demo":
        resolved = replace(resolved, model=str(ROOT / "data/demo/model"))
    with pytest.raises(ParameterError) as caught:
        model_of(resolved, **SETTINGS[where]).draw([resolved.recipe.spec("0", "a", 0)])
    assert f": params.yaml, generate.{where.partition('.')[2]}" in str(caught.value).replace("generate.steps = 2, ", "")
    assert "\n" not in str(caught.value)


def test_a_device_that_is_not_there_is_named_before_loading(resolved: ResolvedModel) -> None:
    with pytest.raises(ParameterError, match=r"no device cuda:99 here: .*: --devices or \$GEN_FEDSD_DEVICES: use auto"):
        Model(replace(resolved, model="nowhere"), "cuda:99")


@pytest.mark.parametrize("name", ["FlowMatchEulerDiscreteScheduler", "UnCLIPScheduler", "SchedulerMixin"])
def test_a_scheduler_that_the_model_cannot_use_is_refused(resolved: ResolvedModel, name: str) -> None:
    message = f"a scheduler that does not fit the model: .*'{name}': one of .*DDIMScheduler, .*PNDMSched"
    with pytest.raises(ParameterError, match=message):
        model_of(resolved, scheduler=name)


@pytest.mark.parametrize(
    "name",
    [
        "DDPMScheduler",
        "DPMSolverMultistepScheduler",
        "EulerAncestralDiscreteScheduler",
        "EulerDiscreteScheduler",
        "HeunDiscreteScheduler",
        "LCMScheduler",
        "TCDScheduler",
        "UniPCMultistepScheduler",
    ],
)
def test_schedulers_that_the_model_can_use_draw(resolved: ResolvedModel, name: str) -> None:
    """Also those that diffusers does not list as compatible, LCM's and TCD's."""
    model = model_of(resolved, scheduler=name, steps=4)
    assert type(model.pipeline.scheduler).__name__ == name
    assert finish(model.draw(specs_of(model, "a"))[0], model.recipe) is not None


@pytest.mark.parametrize("name", ["NoSuchScheduler", "UNet2DConditionModel", "__version__"])
def test_an_unknown_scheduler_lists_those_that_fit(resolved: ResolvedModel, name: str) -> None:
    with pytest.raises(ParameterError, match=f"no such scheduler: .*'{name}': one of .*DDIMScheduler, .*PNDMSched"):
        model_of(resolved, scheduler=name)


def edited(tiny_model: Path, folder: Path, **entries: Any) -> Path:
    """Copy the tiny model and change entries of its index."""
    copy = shutil.copytree(tiny_model, folder / "edited")
    index = copy / "model_index.json"
    index.write_text(json.dumps({**json.loads(index.read_text()), **entries}))
    return copy


def test_the_safety_checker_is_left_out(resolved: ResolvedModel, tiny_model: Path, tmp_path: Path) -> None:
    """The index names one, but there is none in the folder: it is not even looked for."""
    checker = ["stable_diffusion", "StableDiffusionSafetyChecker"]
    folder = edited(tiny_model, tmp_path, safety_checker=checker, requires_safety_checker=True)
    assert Model(replace(resolved, model=str(folder)), "cpu").pipeline.safety_checker is None


@pytest.mark.parametrize("kind", ["StableVideoDiffusionPipeline", "NoSuchPipeline"])
def test_a_model_that_draws_no_images_from_text_is_refused(
    resolved: ResolvedModel, tiny_model: Path, tmp_path: Path, kind: str
) -> None:
    folder = edited(tiny_model, tmp_path, _class_name=kind)
    with pytest.raises(GenerationError, match=rf"cannot load the model \(.*{kind}.*\): .*: check generate\.model"):
        Model(replace(resolved, model=str(folder)), "cpu")


def test_a_model_that_cannot_be_loaded(resolved: ResolvedModel, tmp_path: Path) -> None:
    with pytest.raises(GenerationError, match=r"cannot load the model .*nowhere: check generate\.model"):
        Model(replace(resolved, model=str(tmp_path / "nowhere")), "cpu")


@pytest.mark.parametrize("part", ["unet", "text_encoder"])
def test_weights_that_are_cut_short_are_named(
    resolved: ResolvedModel, tiny_model: Path, tmp_path: Path, part: str
) -> None:
    folder = edited(tiny_model, tmp_path)
    (weights,) = (folder / part).glob("*.safetensors")
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(GenerationError, match=r"cannot load the model .*check generate\.model"):
        Model(replace(resolved, model=str(folder)), "cpu")
