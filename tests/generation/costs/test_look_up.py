"""Where a model's configuration is found; nothing is ever fetched."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import GenerationError
from pipeline.generation.costs import look_up
from pipeline.params import GenerateParams
from pipeline.workspace import Workspace

ONE_FIVE = "stable-diffusion-v1-5/stable-diffusion-v1-5"


def params(**values: Any) -> GenerateParams:
    return GenerateParams.model_validate({"model": ONE_FIVE, "steps": 30, **values})


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


def test_a_published_model_is_known_without_a_file_of_it(workspace: Workspace) -> None:
    """Its scheduler is PNDM, which runs the denoiser once more than it has steps."""
    found = look_up.of(workspace, params())
    assert found.calls == 31
    assert found.cost.denoiser_flops == pytest.approx(803.3e9, rel=1e-3)
    assert look_up.of(workspace, params(model="runwayml/stable-diffusion-v1-5")).cost.model.startswith("runwayml/")
    assert look_up.of(workspace, params(model="stabilityai/sdxl-turbo", steps=1)).calls == 1


def test_another_size_or_scheduler_of_it_is_counted(workspace: Workspace) -> None:
    """A quarter of the pixels: a quarter of the decoder's convolutions, less than that of its attention."""
    whole, small = (
        look_up.of(workspace, params(**values)) for values in ({}, {"render_size": 256, "scheduler": "DDIMScheduler"})
    )
    assert (small.cost.size, small.calls) == (256, 30)
    assert 0.2 < small.cost.decoder_flops / whole.cost.decoder_flops <= 0.25


def test_a_folder_is_counted_and_a_single_file_by_its_configuration(workspace: Workspace, tiny_model: Path) -> None:
    folder = look_up.of(workspace, params(model=str(tiny_model), steps=5))
    (workspace.root / "one.safetensors").write_bytes(b"weights")
    single = look_up.of(workspace, params(model="one.safetensors", config=str(tiny_model), steps=5))
    assert (folder.cost.size, folder.calls) == (16, 5)
    assert single == folder
    with pytest.raises(GenerationError, match=r"a single file says nothing .*one.safetensors: set generate.config"):
        look_up.of(workspace, params(model="one.safetensors"))


def cached(home: Path, name: str, commit: str, folder: Path) -> Path:
    """Put the configuration of a folder into the Hub's cache, as a download of it would."""
    place = home / "hub" / f"models--{name.replace('/', '--')}"
    files = shutil.ignore_patterns("*.safetensors")
    shutil.copytree(folder, place / "snapshots" / commit, ignore=files)
    (place / "refs").mkdir()
    (place / "refs/main").write_text(commit)
    return place


def test_a_cached_configuration_goes_before_the_built_in_one(
    workspace: Workspace, tiny_model: Path, hub_home: Path
) -> None:
    place = cached(hub_home, ONE_FIVE, "c" * 40, tiny_model)
    try:
        found = look_up.of(workspace, params(steps=5))
        assert (found.cost.size, found.cost.source) == (16, "counted from its configuration in the Hub's cache")
        assert look_up.of(workspace, params(revision="c" * 40)).cost == found.cost
        assert look_up.of(workspace, params(revision="d" * 40)).cost.size == 512
        shutil.rmtree(place / "snapshots" / ("c" * 40) / "scheduler")
        assert look_up.of(workspace, params()).cost.size == 512
    finally:
        shutil.rmtree(place)


@pytest.mark.parametrize("name", ["somebody/unknown", "no such folder"])
def test_an_unknown_model_is_one_line_with_the_command_that_helps(workspace: Workspace, name: str) -> None:
    with pytest.raises(GenerationError, match=rf"no configuration .*: {name}: run: hf download {name} --include"):
        look_up.of(workspace, params(model=name))


@pytest.mark.parametrize("content", [None, "{", "[]"])
def test_a_damaged_configuration_is_named(workspace: Workspace, tiny_model: Path, content: str | None) -> None:
    shutil.copytree(tiny_model, workspace.root / "model")
    place = workspace.root / "model/unet/config.json"
    place.unlink() if content is None else place.write_text(content)
    with pytest.raises(GenerationError, match=r"no readable configuration|cannot be counted"):
        look_up.of(workspace, params(model="model"))
    (workspace.root / "model/model_index.json").write_text("[]")
    with pytest.raises(GenerationError, match=r"no readable configuration \(it is no object\): .*model_index.json"):
        look_up.of(workspace, params(model="model"))
