from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import seeds
from pipeline.generation.recipe import Recipe

CHANGED: dict[str, Any] = {
    "seed": 8,
    "model": "sha256:1",
    "variant": "fp16",
    "scheduler": "DDIMScheduler",
    "scheduler_options": {"steps_offset": 1},
    "steps": 3,
    "guidance": 2.5,
    "prompt": "{class}",
    "negative_prompt": "text",
    "render_size": 32,
    "image_size": 32,
    "dtype": "float16",
    "batch_size": 5,
    "format_version": 2,
}


def test_every_field_changes_the_digest(recipe: Recipe) -> None:
    assert set(CHANGED) == {field.name for field in fields(Recipe)}
    digests = {recipe.digest, *(replace(recipe, **{name: value}).digest for name, value in CHANGED.items())}
    assert len(digests) == 1 + len(CHANGED)


def test_equal_recipes_have_equal_digests_whatever_the_order_of_options(recipe: Recipe) -> None:
    one = replace(recipe, scheduler_options={"a": 1, "b": 2})
    other = replace(recipe, scheduler_options={"b": 2, "a": 1})
    assert one.digest == other.digest
    assert len(one.digest) == 16
    assert int(one.digest, 16) >= 0


def test_a_recipe_can_be_built_again_from_its_values(recipe: Recipe) -> None:
    assert Recipe(**replace(recipe, scheduler_options={"a": 1}).as_dict()).digest == (
        replace(recipe, scheduler_options={"a": 1}).digest
    )


def test_a_spec_says_all_that_decides_the_image(recipe: Recipe) -> None:
    made = replace(recipe, negative_prompt="text", prompt="a {class}, one {class}").spec("3", "{bag}", 4, 2)
    assert (made.lane, made.class_name, made.index, made.retry) == ("3", "{bag}", 4, 2)
    assert (made.prompt, made.negative_prompt, made.guidance) == ("a {bag}, one {bag}", "text", 2.0)
    assert made.seed == seeds.derive(7, "image", "3", "{bag}", 4, 2)
    assert recipe.spec("3", "bag", 4).seed == seeds.derive(7, "image", "3", "bag", 4)


@given(st.integers(0, 3), st.sampled_from(["0", "1", "common"]), st.sampled_from(["a", "b"]), st.integers(0, 3))
def test_no_two_images_share_a_seed(index: int, lane: str, name: str, retry: int) -> None:
    recipe = Recipe(7, "m", None, None, {}, 2, 2.0, "{class}", "", None, 16, "float32", 4)
    others = {
        recipe.spec(other_lane, other_name, i, r).seed
        for other_lane in ("0", "1", "common")
        for other_name in ("a", "b")
        for i in range(4)
        for r in range(4)
        if (other_lane, other_name, i, r) != (lane, name, index, retry)
    }
    assert recipe.spec(lane, name, index, retry).seed not in others
    assert len(others) == 3 * 2 * 4 * 4 - 1


@pytest.mark.parametrize("name", sorted(set(CHANGED) - {"seed"}))
def test_only_the_root_seed_and_the_name_decide_the_seed(recipe: Recipe, name: str) -> None:
    """So that, say, two guidance scales draw the same scenes and can be compared in pairs."""
    assert replace(recipe, **{name: CHANGED[name]}).spec("0", "bag", 1).seed == recipe.spec("0", "bag", 1).seed
    assert replace(recipe, seed=8).spec("0", "bag", 1).seed != recipe.spec("0", "bag", 1).seed
