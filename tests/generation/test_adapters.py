"""LoRA weights on top of the tiny Stable Diffusion model."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from pipeline.errors import ParameterError
from pipeline.generation.diffusion import Model
from pipeline.generation.model import ResolvedModel
from pipeline.generation.recipe import Lora

UNET = "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q"
TEXT = "encoder.layers.0.self_attn.q_proj"


def low_rank(*shape: int) -> Tensor:
    """Return a matrix whose entries are neither small nor all equal."""
    return torch.arange(1.0, 1 + shape[0] * shape[1]).reshape(shape).sin()


A, B = low_rank(2, 8), low_rank(8, 2).flip(0)
"""Of a layer from 8 to 8 numbers, in rank 2."""
PLAIN = {f"unet.{UNET}.lora_A.weight": A, f"unet.{UNET}.lora_B.weight": B}
ENCODER = {f"text_encoder.text_model.{TEXT}.lora_A.weight": A, f"text_encoder.text_model.{TEXT}.lora_B.weight": B}
KOHYA = {
    f"lora_unet_{UNET.replace('.', '_')}.lora_down.weight": A,
    f"lora_unet_{UNET.replace('.', '_')}.lora_up.weight": B,
    f"lora_unet_{UNET.replace('.', '_')}.alpha": torch.tensor(1.0),
}
Adapted = Callable[..., ResolvedModel]


@pytest.fixture
def adapted(resolved: ResolvedModel, tmp_path: Path) -> Adapted:
    """A function that adds files of LoRA weights, given as tensors and scales, to the tiny model."""

    def add(*given: tuple[dict[str, Tensor], float], **changes: Any) -> ResolvedModel:
        files = tuple(tmp_path / f"{number}.safetensors" for number in range(len(given)))
        for file, (tensors, _) in zip(files, given, strict=True):
            save_file({name: tensor.clone() for name, tensor in tensors.items()}, file)
        lora = tuple(Lora(str(file), scale) for file, (_, scale) in zip(files, given, strict=True))
        return replace(resolved, recipe=replace(resolved.recipe, lora=lora, **changes), lora=files)

    return add


def weight(model: Model, name: str = UNET) -> Tensor:
    part = model.pipeline.unet if name == UNET else model.pipeline.text_encoder
    found: Tensor = part.get_submodule(name).weight.detach()
    return found


@pytest.mark.parametrize(
    ("given", "times", "name"),
    [
        ([(PLAIN, 1.0)], 1.0, UNET),
        ([(PLAIN, -0.5)], -0.5, UNET),
        ([(KOHYA, 0.8)], 0.4, UNET),
        ([(PLAIN, 0.75), (KOHYA, 0.5)], 1.0, UNET),
        ([(ENCODER, 0.5)], 0.5, TEXT),
        ([(PLAIN | ENCODER, 0.5), (ENCODER, 1.0)], 1.5, TEXT),
    ],
)
def test_the_weights_become_their_sum(
    adapted: Adapted, guided: Model, given: list[tuple[dict[str, Tensor], float]], times: float, name: str
) -> None:
    """W + scale x alpha / rank x B A: alpha is the rank where a file says nothing, and 1 of rank 2 in Kohya's."""
    model = Model(adapted(*given), "cpu")
    added = weight(model, name) - weight(guided, name)
    assert torch.allclose(added, times * B @ A, atol=1e-5)
    layer = model.pipeline.unet.get_submodule(UNET)
    assert type(layer) is torch.nn.Linear


def test_the_scale_shows_and_images_stay_independent_of_their_batch(adapted: Adapted, guided: Model) -> None:
    specs = [guided.recipe.spec("0", name, 0) for name in "ab"]
    whole, half = (Model(adapted((PLAIN | ENCODER, scale)), "cpu") for scale in (1.0, 0.5))
    drawn = [model.draw(specs) for model in (guided, whole, half)]
    assert len({images.tobytes() for images in drawn}) == 3
    assert np.array_equal(Model(adapted((PLAIN | ENCODER, 1.0)), "cpu").draw(specs), drawn[1])
    others = [guided.recipe.spec("1", name, 0) for name in "cd"]
    assert np.array_equal(whole.draw([*others, specs[1]])[2], drawn[1][1])


def test_weights_are_added_in_the_arithmetic_of_the_recipe(adapted: Adapted) -> None:
    model = Model(adapted((PLAIN, 1.0), dtype="float16"), "cpu")
    assert weight(model).dtype == torch.float16
    assert model.draw([model.recipe.spec("0", "a", 0)]).std() > 0


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({name: torch.ones(3, 3) for name in PLAIN}, r"the LoRA weights do not fit the model \("),
        ({name.replace("attn1", "attn7"): tensor for name, tensor in PLAIN.items()}, "do not fit the model"),
        (
            {**PLAIN, **{name.replace("attn1", "attn7"): tensor for name, tensor in PLAIN.items()}},
            "2 of the 4 LoRA weights have no place in the model",
        ),
        ({name.replace("unet", "transformer"): tensor for name, tensor in PLAIN.items()}, "do not fit|no place"),
        ({"a": torch.ones(2, 2)}, "do not fit the model"),
        ({}, "do not fit|no LoRA weights"),
        ({**KOHYA, "lora_unet_x.dora_scale": torch.ones(1)}, "diffusers cannot add DoRA weights"),
    ],
)
def test_weights_of_another_model_are_refused(adapted: Adapted, tensors: dict[str, Tensor], message: str) -> None:
    """Diffusers would only warn of some, and draw without them."""
    with pytest.raises(ParameterError, match=rf"{message}.*: params\.yaml, generate\.lora, .*safetensors: choose") as e:
        Model(adapted((tensors, 1.0)), "cpu")
    assert "\n" not in str(e.value)
