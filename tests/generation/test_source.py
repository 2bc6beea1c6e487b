import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import GenerationError, ParameterError
from pipeline.generation import source
from pipeline.generation.recipe import Recipe
from pipeline.params import GenerateParams

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def recipe_of(model: Path | str, **others: Any) -> Recipe:
    params = GenerateParams.model_validate({"model": str(model), "watch": "params.yaml", "dtype": "float32", **others})
    return source.resolve(params, 7, 28, ["cpu"]).recipe


def test_parameters_and_model_give_the_recipe(tiny_model: Path) -> None:
    params = GenerateParams(
        watch="params.yaml",
        model=str(tiny_model),
        variant="fp16",
        scheduler="DDIMScheduler",
        scheduler_options={"steps_offset": 1},
        steps=4,
        guidance=3.0,
        prompt="one {class}",
        negative_prompt="text",
        render_size=64,
        dtype="bfloat16",
        batch_size=9,
    )
    found = source.resolve(params, 7, 28, ["cpu"])
    digest = found.recipe.model
    assert digest.startswith("sha256:")
    assert len(digest) == 7 + 64
    assert (found.model, found.revision) == (str(tiny_model), None)
    assert found.recipe == Recipe(
        7, digest, "fp16", "DDIMScheduler", {"steps_offset": 1}, 4, 3.0, "one {class}", "text", 64, 28, "bfloat16", 9
    )


def test_a_stored_size_of_its_own_wins_over_the_data_sets(tiny_model: Path) -> None:
    assert recipe_of(tiny_model).image_size == 28
    assert recipe_of(tiny_model, image_size=20).image_size == 20


def test_moving_the_folder_keeps_the_recipe(tiny_model: Path, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere" / "model"
    shutil.copytree(tiny_model, moved)
    (moved / "README.md").write_text("not part of the model")
    assert recipe_of(moved).digest == recipe_of(tiny_model).digest


@pytest.mark.parametrize(
    "file", ["unet/diffusion_pytorch_model.safetensors", "scheduler/scheduler_config.json", "model_index.json"]
)
def test_a_weight_or_a_setting_changes_the_recipe(tiny_model: Path, tmp_path: Path, file: str) -> None:
    changed = tmp_path / "model"
    shutil.copytree(tiny_model, changed)
    content = bytearray((changed / file).read_bytes())
    content[-2] ^= 1
    (changed / file).write_bytes(content)
    assert recipe_of(changed).digest != recipe_of(tiny_model).digest


def test_a_renamed_weight_file_changes_the_recipe(tiny_model: Path, tmp_path: Path) -> None:
    changed = tmp_path / "model"
    shutil.copytree(tiny_model, changed)
    (changed / "unet").rename(changed / "other")
    assert recipe_of(changed).digest != recipe_of(tiny_model).digest


def test_a_hub_model_is_pinned_to_its_commit(hub_home: Path) -> None:
    """The layout of the Hub's local cache: a reference names the commit, a folder of that name holds the files."""
    folder = hub_home / "hub" / "models--someone--tiny"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text(COMMIT)
    (folder / "snapshots" / COMMIT).mkdir(parents=True)
    (folder / "snapshots" / COMMIT / "model_index.json").write_text(json.dumps({}))
    for revision in (None, "main", COMMIT):
        params = GenerateParams(model="someone/tiny", watch="params.yaml", revision=revision, dtype="float32")
        found = source.resolve(params, 7, 28, ["cpu"])
        assert found.recipe.model == f"someone/tiny@{COMMIT}"
        assert (found.model, found.revision) == ("someone/tiny", COMMIT)


@pytest.mark.parametrize("model", ["no-one/has-this", "not a model id", "data/no folder/here"])
def test_a_model_that_is_nowhere(model: str) -> None:
    with pytest.raises(
        GenerationError, match=f"no such folder, and not found on the Hub .*{model}: check generate.mod"
    ):
        recipe_of(model)


def test_a_folder_without_a_model(tmp_path: Path) -> None:
    with pytest.raises(GenerationError, match=f"no diffusers model here: model_index.json is missing: {tmp_path}"):
        recipe_of(tmp_path)


def test_a_prompt_must_name_the_class(tiny_model: Path) -> None:
    with pytest.raises(ParameterError, match=r"the prompt names no class: params.yaml, generate.prompt = 'a photo'"):
        recipe_of(tiny_model, prompt="a photo")
