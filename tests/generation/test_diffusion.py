import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from pipeline.errors import GenerationError, ParameterError
from pipeline.generation.diffusion import Model
from pipeline.generation.recipe import ImageSpec
from pipeline.generation.source import Source


def pixels(image: bytes | None) -> NDArray[np.uint8]:
    assert image is not None
    with Image.open(io.BytesIO(image)) as picture:
        assert (picture.format, picture.mode) == ("PNG", "RGB")
        return np.asarray(picture)


def specs_of(model: Model, names: str) -> list[ImageSpec]:
    """Return one spec for each letter: it is the class name, and its place the index."""
    return [model.recipe.spec("0", name, i) for i, name in enumerate(names)]


def check_independence(model: Model) -> None:
    """Render four images together, then each at every place of another batch, and each alone."""
    together = specs_of(model, "abcd")
    others = specs_of(model, "efgh")
    expected = model.render(together)
    assert len(set(expected)) == 4
    assert None not in expected
    for spec, image in zip(together, expected, strict=True):
        assert model.render([spec]) == [image]
        for place in range(4):
            batch = [*others[:place], spec, *others[place + 1 :]]
            assert model.render(batch)[place] == image
    assert model.render([together[3], together[1]]) == [expected[3], expected[1]]


def test_an_image_does_not_depend_on_its_place_or_batch_mates_guided(guided: Model) -> None:
    check_independence(guided)


def test_an_image_does_not_depend_on_its_place_or_batch_mates_unguided(unguided: Model) -> None:
    check_independence(unguided)


def test_independence_holds_for_schedulers_that_draw_noise_of_their_own(source: Source) -> None:
    recipe = replace(source.recipe, scheduler="DDPMScheduler")
    check_independence(Model(replace(source, recipe=recipe), "cpu"))


def test_independence_holds_in_bfloat16(source: Source) -> None:
    check_independence(Model(replace(source, recipe=replace(source.recipe, dtype="bfloat16")), "cpu"))


def test_every_call_has_the_same_shape(guided: Model) -> None:
    """Other shapes may choose other kernels. With guidance the network sees each of the 4 images twice."""
    shapes: list[tuple[int, ...]] = []

    def note(_: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        shapes.append(tuple(inputs[0].shape))

    hook = guided.pipeline.unet.register_forward_pre_hook(note)
    for names in ("a", "abc", "abcd"):
        assert len(guided.render(specs_of(guided, names))) == len(names)
    hook.remove()
    assert set(shapes) == {(8, 4, 8, 8)}


def test_a_freshly_loaded_model_draws_the_same(guided: Model, source: Source) -> None:
    specs = specs_of(guided, "ab")
    guided.render(specs_of(guided, "cdba"))
    assert Model(source, "cpu").render(specs) == guided.render(specs)


def test_the_state_of_torchs_generator_neither_matters_nor_changes(guided: Model) -> None:
    specs = specs_of(guided, "a")
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    first = guided.render(specs)
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(2)
    assert guided.render(specs) == first


def test_seed_prompt_negative_and_guidance_all_show(guided: Model, unguided: Model) -> None:
    spec = guided.recipe.spec("0", "a", 0)
    variants = [
        spec,
        replace(spec, seed=spec.seed + 1),
        replace(spec, prompt="zzz zzz zzz zzz"),
        replace(spec, negative_prompt="zzz zzz zzz zzz"),
    ]
    images = [*guided.render(variants), *unguided.render([spec])]
    assert len(set(images)) == 5


def test_guidance_is_the_recipes(source: Source, guided: Model) -> None:
    strong = Model(replace(source, recipe=replace(source.recipe, guidance=9.0)), "cpu")
    specs = specs_of(guided, "a")
    assert strong.render(specs) != guided.render(specs)


def test_images_are_stored_at_the_recipes_size(source: Source, guided: Model) -> None:
    """Half size is what Pillow's Lanczos filter makes of the full picture."""
    half = Model(replace(source, recipe=replace(source.recipe, image_size=8)), "cpu")
    specs = specs_of(guided, "ab")
    for small, full in zip(half.render(specs), guided.render(specs), strict=True):
        assert pixels(full).shape == (16, 16, 3)
        expected = Image.fromarray(pixels(full)).resize((8, 8), Image.Resampling.LANCZOS)
        assert pixels(small).tolist() == np.asarray(expected).tolist()


def test_images_are_drawn_at_the_render_size(source: Source) -> None:
    recipe = replace(source.recipe, render_size=32, image_size=32)
    assert pixels(Model(replace(source, recipe=recipe), "cpu").render(specs_of_recipe(source))[0]).shape == (32, 32, 3)


def specs_of_recipe(source: Source) -> list[ImageSpec]:
    return [source.recipe.spec("0", "a", 0)]


@pytest.mark.parametrize("factor", [float("nan"), 0.0, 1e-6])
def test_images_that_are_not_finite_or_flat_are_none(source: Source, scaled: Any, factor: float) -> None:
    model = Model(replace(source, model=str(scaled(factor))), "cpu")
    assert model.render(specs_of(model, "abc")) == [None, None, None]


def test_a_flat_image_has_levels_within_four(guided: Model) -> None:
    """Levels 100 to 104 show nothing, 100 to 105 do."""
    image = torch.full((3, 16, 16), 100 / 255)
    image[0, 0, 0] = 104 / 255
    assert guided._finish(image) is None
    image[0, 0, 0] = 105 / 255
    assert pixels(guided._finish(image)).max() == 105
    image[2, 3, 4] = torch.inf
    assert guided._finish(image) is None


def test_a_scheduler_can_be_chosen_and_set(source: Source, guided: Model) -> None:
    recipe = replace(source.recipe, scheduler="PNDMScheduler", scheduler_options={"skip_prk_steps": True})
    model = Model(replace(source, recipe=recipe), "cpu")
    assert type(model.pipeline.scheduler).__name__ == "PNDMScheduler"
    assert model.pipeline.scheduler.config.skip_prk_steps is True
    options = replace(source.recipe, scheduler_options={"timestep_spacing": "trailing"})
    trailing = Model(replace(source, recipe=options), "cpu")
    assert type(trailing.pipeline.scheduler) is type(guided.pipeline.scheduler)
    assert trailing.pipeline.scheduler.config.timestep_spacing == "trailing"
    assert trailing.render(specs_of(guided, "a")) != guided.render(specs_of(guided, "a"))


@pytest.mark.parametrize("name", ["NoSuchScheduler", "UNet2DConditionModel", "__version__"])
def test_an_unknown_scheduler_lists_those_that_fit(source: Source, name: str) -> None:
    with pytest.raises(ParameterError, match=f"no such scheduler: .*'{name}': one of .*DDIMScheduler, .*PNDMSched"):
        Model(replace(source, recipe=replace(source.recipe, scheduler=name)), "cpu")


def test_a_model_of_another_kind_is_refused(source: Source, tmp_path: Path) -> None:
    (tmp_path / "model_index.json").write_text('{"_class_name": "FluxPipeline"}')
    with pytest.raises(GenerationError, match="models of kind FluxPipeline are not supported"):
        Model(replace(source, model=str(tmp_path)), "cpu")


def test_a_model_that_cannot_be_loaded(source: Source, tmp_path: Path) -> None:
    with pytest.raises(GenerationError, match=r"cannot load the model .*nowhere: check generate\.model"):
        Model(replace(source, model=str(tmp_path / "nowhere")), "cpu")
