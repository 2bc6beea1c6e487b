"""Fixtures for rendering with the tiny model."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.generation.diffusion import Model
from pipeline.generation.model import ResolvedModel
from pipeline.generation.prompts import PromptSet
from pipeline.generation.recipe import Recipe

ScaledCopy = Callable[[float], Path]


def small_recipe() -> Recipe:
    """Return a recipe of a tiny model, 16 pixels and two steps."""
    return Recipe(
        seed=7,
        model="sha256:0",
        variant=None,
        scheduler=None,
        scheduler_options={},
        steps=2,
        guidance=(2.0,),
        prompts=PromptSet(("a photo of a {class}",)),
        negative_prompt="",
        render_size=None,
        image_size=16,
        image_format="png",
        quality=None,
        dtype="float32",
        batch_size=4,
        compile=False,
    )


@pytest.fixture
def recipe() -> Recipe:
    return small_recipe()


@pytest.fixture
def resolved(recipe: Recipe, tiny_model: Path) -> ResolvedModel:
    return ResolvedModel(recipe, str(tiny_model), None)


@pytest.fixture(scope="module")
def guided(tiny_model: Path) -> Model:
    """The tiny model, loaded once for a module, with guidance 2 and batches of 4."""
    return Model(ResolvedModel(small_recipe(), str(tiny_model), None), "cpu")


@pytest.fixture
def scaled(tiny_model: Path, tmp_path: Path) -> ScaledCopy:
    """A function that copies the tiny model with its decoder's last weights multiplied, its last bias zero.

    Factor 0 draws one grey, not-a-number draws nothing finite, and a small factor draws faint pictures.
    """
    import shutil

    from safetensors.torch import load_file, save_file

    def copy(factor: float) -> Path:
        folder = tmp_path / f"model x {factor}"
        shutil.copytree(tiny_model, folder)
        weights = folder / "vae" / "diffusion_pytorch_model.safetensors"
        tensors = load_file(weights)
        tensors["decoder.conv_out.weight"] = tensors["decoder.conv_out.weight"] * factor
        tensors["decoder.conv_out.bias"] = tensors["decoder.conv_out.bias"] * 0
        save_file(tensors, weights, {"format": "pt"})
        return folder

    return copy


@pytest.fixture
def unguided(resolved: ResolvedModel) -> Model:
    return Model(replace(resolved, recipe=replace(resolved.recipe, guidance=(1.0,))), "cpu")


def check_independence(model: Model) -> None:
    """Draw four images together, then each at every place of another batch, each alone, and two of them swapped."""
    recipe = model.recipe
    assert recipe.batch_size == 4
    together = [recipe.spec("0", name, i) for i, name in enumerate(("a", "bag", "c", "dotted dress"))]
    others = [recipe.spec("1", name, i) for i, name in enumerate(("e", "f", "green hat", "h"))]
    expected = model.draw(together)
    assert len({image.tobytes() for image in expected}) == 4
    for spec, image in zip(together, expected, strict=True):
        assert np.array_equal(model.draw([spec]), image[None])
        for place in range(4):
            batch = [*others[:place], spec, *others[place + 1 :]]
            assert np.array_equal(model.draw(batch)[place], image)
    assert np.array_equal(model.draw([together[3], together[1]]), expected[[3, 1]])


@pytest.fixture(scope="session")
def independent() -> Callable[[Model], None]:
    """The function that fails if an image depends on its place in the batch, its batch-mates, or the padding."""
    return check_independence
