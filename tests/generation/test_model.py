import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import GenerationError, ParameterError
from pipeline.generation import weights
from pipeline.generation.model import ResolvedModel, resolve
from pipeline.generation.prompts import PromptSet
from pipeline.generation.recipe import Recipe
from pipeline.params import GenerateParams
from pipeline.workspace import Workspace

COMMIT = "0123456789abcdef0123456789abcdef01234567"
OTHER = COMMIT[::-1]
ROOT = Path(__file__).parents[2]
PLAIN = str(ROOT / "data/prompts/plain.yaml")


def params_of(model: Path | str, **others: Any) -> GenerateParams:
    plain = {"model": str(model), "dtype": "float32", "prompts": PLAIN}
    return GenerateParams.model_validate({**plain, **others})


def recipe_of(model: Path | str, **others: Any) -> Recipe:
    return resolve(Workspace(), params_of(model, **others), 7, 28, "float32").recipe


def test_parameters_and_model_give_the_recipe(tiny_model: Path, tmp_path: Path) -> None:
    sentences = tmp_path / "own.yaml"
    sentences.write_text("templates: ['a {kind} of a {class}']\nkind: [photo, sketch]\n")
    model = shutil.copytree(tiny_model, tmp_path / "model")
    for file in list(model.rglob("*.safetensors")):
        file.rename(file.with_suffix(".fp16.safetensors"))
    params = GenerateParams(
        model=str(model),
        variant="fp16",
        scheduler="DDIMScheduler",
        scheduler_options={"steps_offset": 1},
        steps=4,
        guidance=(3.0, 1.0, 3.0),
        prompts=str(sentences),
        class_overrides={"bag": "handbag"},
        negative_prompt="text",
        render_size=64,
        image_format="webp",
        quality=75,
        dtype="bfloat16",
        batch_size=9,
        compile=True,
    )
    found = resolve(Workspace(), params, 7, 28, "bfloat16")
    digest = found.recipe.model
    assert digest.startswith("sha256:")
    assert len(digest) == 7 + 64
    assert (found.model, found.revision) == (str(model), None)
    assert found.recipe == Recipe(
        seed=7,
        model=digest,
        variant="fp16",
        scheduler="DDIMScheduler",
        scheduler_options={"steps_offset": 1},
        steps=4,
        guidance=(1.0, 3.0),
        prompts=PromptSet(("a {kind} of a {class}",), (("kind", ("photo", "sketch")),)),
        negative_prompt="text",
        render_size=64,
        image_size=28,
        image_format="webp",
        quality=75,
        dtype="bfloat16",
        batch_size=9,
        compile=True,
    )


def test_relative_places_start_at_the_workspace(tiny_model: Path, tmp_path: Path) -> None:
    """Two workspaces in one process, neither of them the working folder, with other prompts for the same model."""
    found = list[ResolvedModel]()
    for name in ("one", "two"):
        workspace = Workspace(tmp_path / name)
        shutil.copytree(tiny_model, workspace.root / "model")
        (workspace.root / "own.yaml").write_text(f"templates: ['{name} {{class}}']\n")
        found.append(resolve(workspace, params_of("model", prompts="own.yaml"), 7, 28, "float32"))
        assert found[-1].model == str(workspace.root / "model")
        (workspace.data / "prompts").mkdir(parents=True)
        (workspace.data / "prompts" / "shipped.yaml").touch()
        with pytest.raises(
            ParameterError, match=rf"{name}/none\.yaml: set .* a file: .*/{name}/data/prompts/shipped\.y"
        ):
            resolve(workspace, params_of("model", prompts="none.yaml"), 7, 28, "float32")
    assert found[0].recipe.model == found[1].recipe.model == recipe_of(tiny_model).model
    assert [one.recipe.prompts.templates for one in found] == [("one {class}",), ("two {class}",)]


def test_what_can_change_no_byte_does_not_enter(tiny_model: Path) -> None:
    """A PNG has no quality, and where no image is guided there is nothing to keep away from."""
    assert recipe_of(tiny_model, quality=75).quality is None
    assert recipe_of(tiny_model, image_format="jpeg", quality=75).quality == 75
    assert recipe_of(tiny_model, negative_prompt="text", guidance=1.0).negative_prompt == ""
    assert recipe_of(tiny_model, negative_prompt="text", guidance=[0.0, 1.0]).negative_prompt == ""
    assert recipe_of(tiny_model, negative_prompt="text", guidance=[1.5, 1.0]).negative_prompt == "text"


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
    content[-2:] = b"}  " if file.endswith(".json") else bytes([content[-2] ^ 1, content[-1]])
    (changed / file).write_bytes(content)
    assert recipe_of(changed).digest != recipe_of(tiny_model).digest


def test_a_renamed_weight_file_changes_the_recipe(tiny_model: Path, tmp_path: Path) -> None:
    changed = tmp_path / "model"
    shutil.copytree(tiny_model, changed)
    (changed / "unet").rename(changed / "other")
    assert recipe_of(changed).digest != recipe_of(tiny_model).digest


def test_the_shipped_model_keeps_its_identity() -> None:
    """Pools and publications hold its images under it; a number on its own would not tell which files count."""
    listing = [
        f"{name} {hashlib.sha256((ROOT / 'data/demo/model' / name).read_bytes()).hexdigest()}\n"
        for name in (
            "model_index.json",
            "scheduler/scheduler_config.json",
            "text_encoder/config.json",
            "text_encoder/model.safetensors",
            "tokenizer/merges.txt",
            "tokenizer/tokenizer.json",
            "tokenizer/tokenizer_config.json",
            "tokenizer/vocab.json",
            "unet/config.json",
            "unet/diffusion_pytorch_model.safetensors",
            "vae/config.json",
            "vae/diffusion_pytorch_model.safetensors",
        )
    ]
    digest = hashlib.sha256("".join(listing).encode()).hexdigest()
    assert recipe_of(ROOT / "data/demo/model").model == f"sha256:{digest}"
    assert digest.startswith("29845af1062e90eb")


def test_a_linked_part_counts_as_if_it_lay_in_the_folder(tiny_model: Path, tmp_path: Path) -> None:
    """Linked to other weights it is another model."""
    linked = tmp_path / "model"
    shutil.copytree(tiny_model, linked)
    (linked / "unet").rename(tmp_path / "unet-1")
    shutil.copytree(tmp_path / "unet-1", tmp_path / "unet-2")
    with (tmp_path / "unet-2" / "diffusion_pytorch_model.safetensors").open("ab") as file:
        file.write(b"2")
    (linked / "unet").symlink_to("../unet-1")
    assert recipe_of(linked).digest == recipe_of(tiny_model).digest
    (linked / "unet").unlink()
    (linked / "unet").symlink_to("../unet-2")
    assert recipe_of(linked).digest != recipe_of(tiny_model).digest


def test_links_that_lead_in_a_circle_end(tiny_model: Path, tmp_path: Path) -> None:
    """One leads to the model itself; two parts link to each other, so each file has one more name."""
    circle = tmp_path / "model"
    shutil.copytree(tiny_model, circle)
    (circle / "unet" / "up").symlink_to("..")
    assert recipe_of(circle).digest == recipe_of(tiny_model).digest
    (circle / "unet" / "vae").symlink_to("../vae")
    (circle / "vae" / "unet").symlink_to("../unet")
    assert (
        len(list(weights._files(circle, weights._DECISIVE)))
        == len(list(weights._files(tiny_model, weights._DECISIVE))) + 4
    )


@pytest.mark.parametrize(
    ("file", "counts"),
    [
        ("tokenizer/spiece.model", True),
        ("tokenizer/chat_template.jinja", True),
        ("tokenizer/additional.txt", True),
        ("unet/safety_checker/config.json", True),
        ("safety_checker/config.json", False),
        ("safety_checker/model.safetensors", False),
        ("feature_extractor/preprocessor_config.json", False),
        ("unet/diffusion_pytorch_model.bin", False),
        ("README.md", False),
        ("unet/._config.json", False),
        (".cache/huggingface/download.json", False),
    ],
)
def test_what_decides_bytes_counts_and_nothing_else(tiny_model: Path, tmp_path: Path, file: str, counts: bool) -> None:
    """The safety checker is off, and weights that are no safetensors are never loaded."""
    model = tmp_path / "model"
    shutil.copytree(tiny_model, model)
    digests = {recipe_of(model).digest}
    for content in ("one", "two"):
        (model / file).parent.mkdir(parents=True, exist_ok=True)
        (model / file).write_text(content)
        digests.add(recipe_of(model).digest)
    assert len(digests) == (3 if counts else 1)


def test_a_model_that_cannot_be_read_is_one_line(tiny_model: Path, tmp_path: Path) -> None:
    """A file of the kernel's that nobody can read stands in for another user's."""
    model = tmp_path / "model"
    shutil.copytree(tiny_model, model)
    (model / "unet" / "config.json").unlink()
    (model / "unet" / "config.json").symlink_to("/proc/self/mem")
    with pytest.raises(GenerationError, match=rf"cannot read the model \(.*\): {model}: check the folder"):
        recipe_of(model)


def test_a_hub_model_is_pinned_to_its_commit(hub_home: Path) -> None:
    """The layout of the Hub's local cache: a reference names the commit, a folder of that name holds the files."""
    folder = hub_home / "hub" / "models--someone--tiny"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text(COMMIT)
    for commit in (COMMIT, OTHER):
        (folder / "snapshots" / commit).mkdir(parents=True)
        (folder / "snapshots" / commit / "model_index.json").write_text(json.dumps({}))
    digests = set()
    for revision, commit in ((None, COMMIT), ("main", COMMIT), (COMMIT, COMMIT), (OTHER, OTHER)):
        found = resolve(Workspace(), params_of("someone/tiny", revision=revision), 7, 28, "float32")
        assert found.recipe.model == f"someone/tiny@{commit}"
        assert (found.model, found.revision) == ("someone/tiny", commit)
        digests.add(found.recipe.digest)
    assert len(digests) == 2


@pytest.mark.parametrize("model", ["no-one/has-this", "not a model id", "data/no folder/here"])
def test_a_model_that_is_nowhere(model: str) -> None:
    with pytest.raises(
        GenerationError, match=f"no such folder, and not found on the Hub .*{model}: check generate.mod"
    ):
        recipe_of(model)


def test_a_folder_without_a_model(tmp_path: Path) -> None:
    with pytest.raises(GenerationError, match=f"no diffusers model here: model_index.json is missing: {tmp_path}"):
        recipe_of(tmp_path)


def test_a_prompt_set_that_cannot_be_used_is_an_error_before_the_model_is_looked_for(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text("templates: [a photo]")
    with pytest.raises(ParameterError, match=r"a template names no class: .*own\.yaml, templates, 'a photo'"):
        recipe_of("no-one/has-this", prompts=str(tmp_path / "own.yaml"))
    with pytest.raises(ParameterError, match="no such prompt set"):
        recipe_of("no-one/has-this", prompts=str(tmp_path / "none.yaml"))
