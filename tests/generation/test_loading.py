"""Loading a single checkpoint, and what is said before a model's weights are loaded."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from pipeline.errors import GenerationError, ParameterError, PipelineError
from pipeline.generation import loading, model
from pipeline.generation.diffusion import Model
from pipeline.generation.model import ResolvedModel
from pipeline.params import GenerateParams
from pipeline.workspace import Workspace
from tests import single_file

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def checkpoint(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model as one file."""
    pipeline = diffusers.StableDiffusionPipeline.from_pretrained(tiny_model)
    return single_file.save(pipeline, tmp_path_factory.mktemp("single") / "tiny.safetensors")


@pytest.fixture
def settings(tiny_model: Path, tmp_path: Path) -> Path:
    """The configuration of the tiny model, without weights."""
    return shutil.copytree(tiny_model, tmp_path / "settings", ignore=shutil.ignore_patterns("*.safetensors"))


def resolve(**generate: Any) -> ResolvedModel:
    given = {
        "prompts": str(ROOT / "data/prompts/plain.yaml"),
        "guidance": 2.0,
        "steps": 2,
        "batch_size": 4,
    }
    return model.resolve(Workspace(), GenerateParams.model_validate(given | generate), 7, 16, "float32")


def test_a_checkpoint_draws_what_its_folder_draws(checkpoint: Path, settings: Path, guided: Model) -> None:
    single = Model(resolve(model=str(checkpoint), config=str(settings)), "cpu")
    specs = [guided.recipe.spec("0", name, 0) for name in "abcd"]
    assert np.array_equal(single.draw(specs), guided.draw(specs))
    assert single.pipeline.safety_checker is None


def test_the_scheduler_and_the_arithmetic_are_the_recipes(checkpoint: Path, settings: Path) -> None:
    resolved = resolve(model=str(checkpoint), config=str(settings), scheduler="DDPMScheduler")
    single = Model(replace(resolved, recipe=replace(resolved.recipe, dtype="float16")), "cpu")
    assert type(single.pipeline.scheduler).__name__ == "DDPMScheduler"
    for part in (single.pipeline.unet, single.pipeline.vae, single.pipeline.text_encoder):
        assert part.dtype == torch.float16


def test_pickles_beside_the_configuration_are_not_touched(checkpoint: Path, settings: Path, tmp_path: Path) -> None:
    """Diffusers loads weights of the configuration's folder for a part that the checkpoint lacks, pickled ones too."""
    tensors = load_file(checkpoint)
    save_file({n: t for n, t in tensors.items() if "cond_stage" not in n}, tmp_path / "without.safetensors")
    (settings / "text_encoder" / "pytorch_model.bin").write_bytes(b"not even a pickle")
    shutil.copyfile(checkpoint, settings / "text_encoder" / "model.safetensors")
    resolved = resolve(model=str(tmp_path / "without.safetensors"), config=str(settings))
    with pytest.raises(
        GenerationError, match=r"do not fit each other \(.*CLIPTextModel.*\): .*: check generate\.config"
    ):
        Model(resolved, "cpu")


def test_a_configuration_from_the_hub(checkpoint: Path, settings: Path, hub_home: Path, guided: Model) -> None:
    """From the local cache, pinned to its commit."""
    commit = "89abcdef" * 5
    cached(hub_home, "settings", settings, commit)
    resolved = resolve(model=str(checkpoint), config="someone/settings")
    assert (resolved.model, resolved.config, resolved.revision) == (str(checkpoint), "someone/settings", commit)
    spec = guided.recipe.spec("0", "a", 0)
    assert np.array_equal(Model(resolved, "cpu").draw([spec]), guided.draw([spec]))


def cached(hub_home: Path, name: str, folder: Path, commit: str) -> Path:
    """Put a model into the Hub's local cache; return its place there."""
    place = hub_home / "hub" / f"models--someone--{name}"
    shutil.copytree(folder, place / "snapshots" / commit)
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text(commit)
    return place / "snapshots" / commit


def test_a_model_from_the_hub(tiny_model: Path, hub_home: Path, guided: Model) -> None:
    cached(hub_home, "whole", tiny_model, "456789ab" * 5)
    resolved = resolve(model="someone/whole")
    spec = guided.recipe.spec("0", "a", 0)
    assert np.array_equal(Model(resolved, "cpu").draw([spec]), guided.draw([spec]))


def test_a_model_of_the_hub_that_has_only_pickles_or_a_variant_is_one_line(tiny_model: Path, hub_home: Path) -> None:
    place = cached(hub_home, "half", tiny_model, "76543210" * 5)
    for file in list(place.rglob("*.safetensors")):
        file.rename(file.with_suffix(".fp16.safetensors"))
    with pytest.raises(ParameterError, match=r"someone/half has weights of .* only as a variant: .*variant: fp16$"):
        Model(resolve(model="someone/half"), "cpu")
    Model(resolve(model="someone/half", variant="fp16"), "cpu")
    for file in list(place.rglob("*.safetensors")):
        file.rename(file.with_name("pytorch_model.bin"))
    with pytest.raises(GenerationError, match=r"only there as a pickle \(pytorch_model\.bin\).*: someone/half: choose"):
        Model(resolve(model="someone/half"), "cpu")


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("unet", {"block_out_channels": [4, 16]}),
        ("unet", {"layers_per_block": 2}),
        ("vae", {"latent_channels": 8}),
        ("text_encoder", {"hidden_size": 16}),
        ("text_encoder", {"num_hidden_layers": 3}),
    ],
)
def test_a_configuration_of_another_model_is_one_line(
    checkpoint: Path, settings: Path, part: str, change: dict[str, Any]
) -> None:
    file = settings / part / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(GenerationError, match=r"do not fit each other \(|the weights of .* are missing") as caught:
        Model(resolve(model=str(checkpoint), config=str(settings)), "cpu")
    assert "\n" not in str(caught.value)
    assert str(checkpoint) in str(caught.value)


@pytest.mark.parametrize("part", ["unet", "vae"])
def test_a_folder_that_lacks_a_weight_is_one_line(
    resolved: ResolvedModel, tiny_model: Path, tmp_path: Path, part: str
) -> None:
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    file = folder / part / "diffusion_pytorch_model.safetensors"
    tensors = load_file(file)
    lost = min(name for name in tensors if name.endswith("conv_in.weight"))
    save_file({name: tensor for name, tensor in tensors.items() if name != lost}, file)
    with pytest.raises(GenerationError, match=rf"the weights of {part}\.{lost} are missing"):
        Model(replace(resolved, model=str(folder)), "cpu")


def test_weights_that_are_drawn_at_random_are_named(
    resolved: ResolvedModel, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Transformers does so for those that a text encoder lacks, and logs it where nobody looks."""
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    file = folder / "text_encoder" / "model.safetensors"
    save_file({name: tensor for name, tensor in load_file(file).items() if "fc1.weight" not in name}, file)
    Model(resolved, "cpu")
    assert capsys.readouterr().err == ""
    Model(replace(resolved, model=str(folder)), "cpu")
    said = "note: the model lacks encoder.layers.{0, 1}.mlp.fc1.weight: drawn at random, so images can differ"
    assert said in capsys.readouterr().err


Loads = list[str]


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> Loads:
    """The models whose weights were loaded."""
    seen: Loads = []
    load: Callable[..., Any] = diffusers.AutoPipelineForText2Image.from_pretrained

    def noting(place: str, **options: Any) -> Any:
        seen.append(place)
        return load(place, **options)

    monkeypatch.setattr(diffusers.AutoPipelineForText2Image, "from_pretrained", noting)
    return seen


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scheduler": "NoSuchScheduler"}, "no such scheduler"),
        ({"scheduler_options": {"timestep_spacin": "x"}}, "no such option"),
        ({"scheduler_options": {"timestep_spacing": "nosuch"}}, "the scheduler cannot do this"),
        ({"steps": 2000}, "the scheduler has 1000 steps at most"),
    ],
)
def test_what_the_scheduler_cannot_do_is_said_before_the_weights_are_loaded(
    resolved: ResolvedModel, loads: Loads, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(ParameterError, match=message):
        Model(replace(resolved, recipe=replace(resolved.recipe, **change)), "cpu")
    assert loads == []
    Model(resolved, "cpu")
    assert loads == [resolved.model]


@pytest.mark.parametrize(
    ("kind", "change", "message"),
    [
        ("FluxPipeline", {}, None),
        ("ChromaPipeline", {}, None),
        ("LatentConsistencyModelPipeline", {}, None),
        ("LatentConsistencyModelPipeline", {"negative_prompt": "dark"}, "reads no negative prompt: params.yaml, gen"),
        ("KandinskyPipeline", {"lora": True}, "adds no LoRA weights to a model of this kind"),
    ],
)
def test_what_a_kind_of_model_cannot_do_is_said_before_the_weights_are_loaded(
    resolved: ResolvedModel, tmp_path: Path, kind: str, change: dict[str, Any], message: str | None
) -> None:
    """An index names the kind; there are no weights."""
    (tmp_path / "model_index.json").write_text(json.dumps({"_class_name": kind}))
    lora = (tmp_path / "style.safetensors",) if change.pop("lora", False) else ()
    asked = replace(resolved, model=str(tmp_path), recipe=replace(resolved.recipe, **change), lora=lora)
    if message is None:
        assert loading._checked(asked, tmp_path)["_class_name"] == kind
    else:
        with pytest.raises(PipelineError, match=message):
            Model(asked, "cpu")


def test_another_size_than_the_one_asked_for_is_not_drawn_in_silence(resolved: ResolvedModel) -> None:
    """Some pipelines round the size to what they can draw, and only warn."""
    rounding = Model(replace(resolved, recipe=replace(resolved.recipe, render_size=32)), "cpu")
    draw = type(rounding.pipeline).__call__

    class Rounding(type(rounding.pipeline)):  # type: ignore[misc]
        def __call__(self, **options: Any) -> Any:
            return draw(self, **options | {"height": 16, "width": 16})

    rounding.pipeline.__class__ = Rounding
    with pytest.raises(ParameterError, match=r"the model draws 16 x 16 pixels instead: .*render_size = 32: choose"):
        rounding.draw([resolved.recipe.spec("0", "a", 0)])


def test_an_operation_that_the_device_lacks_names_the_dtype(resolved: ResolvedModel) -> None:
    recipe = replace(resolved.recipe, dtype="float16")
    found = loading.explained(RuntimeError("\"x\" not implemented for 'Half'"), recipe, torch.device("cpu"))
    assert "cpu cannot compute in this" in str(found)
    assert "generate.dtype = 'float16': choose float32" in str(found)
