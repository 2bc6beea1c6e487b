"""Training a generator: what was stopped resumes to the same files, which are Stable Diffusion's."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipeline.errors import ParameterError
from tests.generators.conftest import small_recipe

AUTOENCODER_STEPS = 6


class Stopped(Exception):
    """The training was stopped by the test."""


def train(programs: Path, document: dict[str, Any], out: Path, seconds: float = 0.0) -> Path:
    """Train what the folder lacks, with a checkpoint after each step, and return the folder."""
    import train as program
    from latent.output import Output
    from latent.recipe import Recipe

    program.train(Recipe.model_validate(document), Output(out), torch.device("cpu"), seconds)
    return out


def files(folder: Path) -> dict[str, bytes]:
    """Return the content of all files but those with times and places."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in ("curve.json", "recipe.json")
    }


def losses(folder: Path) -> dict[str, Any]:
    return {part: told["loss"] for part, told in json.loads((folder / "curve.json").read_text()).items()}


@pytest.fixture(scope="module")
def trained(programs: Path, small_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training without a stop and without a checkpoint."""
    return train(programs, small_recipe(small_data), tmp_path_factory.mktemp("trained") / "out", 1e9)


@pytest.mark.parametrize("steps", [3, AUTOENCODER_STEPS + 2, AUTOENCODER_STEPS + 7])
def test_a_training_that_was_stopped_resumes_to_the_same_files(
    programs: Path, trained: Path, document: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    """Stopped within a step of the autoencoder, and of the diffusion before and after its second snapshot."""
    from latent.training import Training

    step, left = Training._step, iter(range(steps))

    def stopping(self: Training, loss: torch.Tensor) -> None:
        if next(left, None) is None:
            raise Stopped
        step(self, loss)

    monkeypatch.setattr(Training, "_step", stopping)
    with pytest.raises(Stopped):
        train(programs, document, tmp_path / "out")
    assert list((tmp_path / "out").glob("*.unfinished.safetensors"))
    assert not (tmp_path / "out/at-100").exists()
    monkeypatch.setattr(Training, "_step", step)
    resumed = train(programs, document, tmp_path / "out")
    assert files(resumed) == files(trained)
    assert losses(resumed) == losses(trained)


def test_every_snapshot_loads_and_draws_with_plain_from_pretrained(trained: Path) -> None:
    from diffusers import StableDiffusionPipeline

    drawn = []
    for name in ("at-10", "at-30", "at-100"):
        pipeline = StableDiffusionPipeline.from_pretrained(trained / name)
        pipeline.set_progress_bar_config(disable=True)
        noise = torch.Generator().manual_seed(0)
        image = pipeline("a photo of a bag", num_inference_steps=2, generator=noise).images[0]
        assert image.size == (16, 16)
        drawn.append(np.asarray(image))
    assert len({image.tobytes() for image in drawn}) == 3
    assert {path.suffix for path in trained.rglob("*") if path.is_file()} == {".json", ".txt", ".safetensors"}


def test_what_is_finished_is_not_trained_again(
    programs: Path, trained: Path, document: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from latent.training import Training

    monkeypatch.setattr(Training, "run", None)
    before = files(trained)
    assert files(train(programs, document, trained)) == before


def test_a_folder_with_another_training_is_refused(programs: Path, trained: Path, document: dict[str, Any]) -> None:
    document["diffusion"]["rate"] = 0.1
    with pytest.raises(ParameterError, match=r"the folder has the training of another recipe: .*--out"):
        train(programs, document, trained)


@pytest.mark.parametrize(
    ("part", "key", "value"), [("diffusion", "batch", 121), ("autoencoder", "batch", 121), ("data", "size", 17)]
)
def test_a_recipe_that_does_not_fit_the_pictures_leaves_nothing(
    programs: Path, document: dict[str, Any], tmp_path: Path, part: str, key: str, value: int
) -> None:
    """60 pictures and their mirror images are 120; the autoencoder halves sides once, and 17 is odd."""
    document[part][key] = value
    with pytest.raises(ParameterError, match="do not fit the recipe"):
        train(programs, document, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_losses_fall_with_training(trained: Path) -> None:
    """Six steps from random weights bring the error of the autoencoder down."""
    curve = losses(trained)["autoencoder"]
    assert [step for step, _ in curve] == [1, 2, 3, 4, 5, 6]
    assert curve[-1][1] < curve[0][1]
