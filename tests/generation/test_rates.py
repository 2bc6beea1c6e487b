"""Which measured rate an estimate is based on."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline import energy
from pipeline.errors import ArtifactError
from pipeline.generation import rates
from pipeline.generation.prompts import PromptSet
from pipeline.generation.recipe import Lora, Recipe
from pipeline.workspace import Workspace

SAME: list[dict[str, Any]] = [
    {"seed": 8},
    {"prompts": PromptSet(("{class}",))},
    {"negative_prompt": "text"},
    {"image_size": 32},
    {"image_format": "webp", "quality": 80},
    {"guidance": (3.0,)},
    {"lora": (Lora("sha256:1", 0.5),)},
]
OTHER: list[dict[str, Any]] = [
    {"model": "sha256:1"},
    {"variant": "fp16"},
    {"scheduler": "HeunDiscreteScheduler"},
    {"scheduler_options": {"algorithm_type": "sde-dpmsolver++"}},
    {"steps": 3},
    {"guidance": (1.0,)},
    {"guidance": (1.0, 2.0)},
    {"render_size": 32},
    {"dtype": "float16"},
    {"batch_size": 5},
    {"compile": True},
]


@pytest.fixture
def pool() -> Path:
    return Workspace().pool


def value(found: rates.Estimate | None) -> float | None:
    return None if found is None else found.images_per_second


@pytest.mark.parametrize("change", [*SAME, *OTHER], ids=str)
def test_a_rate_holds_for_recipes_of_the_same_speed(pool: Path, recipe: Recipe, change: dict[str, Any]) -> None:
    """Guided images cost twice the time, whatever the scale; LoRA weights cost none, since they are added once."""
    rates.record(pool, recipe, ["cpu"], 2.5, 40)
    assert value(rates.estimate(pool, replace(recipe, **change))) == (2.5 if change in SAME else None)


def test_a_rate_is_of_the_nearest_number_of_such_devices(pool: Path, recipe: Recipe) -> None:
    """1 worker draws 2 images a second, 4 draw 6: 3 workers 4.5 by the four, 2 workers 4 by the one, 8 workers 12."""
    assert rates.estimate(pool, recipe) is None
    rates.record(pool, recipe, ["cpu"], 2.0, 40)
    rates.record(pool, recipe, ["cpu"] * 4, 6.0, 40)
    rates.record(pool, recipe, ["cuda:0"], 100.0, 40)
    found = {workers: value(rates.estimate(pool, recipe, ["cpu"] * workers)) for workers in (1, 2, 3, 4, 8)}
    assert found == {1: 2.0, 2: 4.0, 3: 4.5, 4: 6.0, 8: 12.0}
    assert value(rates.estimate(pool, recipe, ["cuda:0", "cuda:1"])) == 200.0
    assert value(rates.estimate(pool, recipe)) in (2.0, 6.0, 100.0)


def test_the_last_rate_replaces_the_one_before(pool: Path, recipe: Recipe) -> None:
    for rate in (2.0, 3.0):
        rates.record(pool, recipe, ["cpu"], rate, 40)
    found = rates.estimate(pool, recipe, ["cpu"])
    assert found is not None
    assert found.images_per_second == 3.0
    assert (found.based_on.kind, found.based_on.hardware) == ("cpu", energy.hardware("cpu"))


def test_another_processor_is_another_speed(
    pool: Path, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    monkeypatch.setattr(energy, "_CPUINFO", cpuinfo)
    cpuinfo.write_text("processor\t: 0\nmodel\t\t: 17\nmodel name\t: Fast CPU\n" * 2)
    assert energy.hardware("cpu") == "Fast CPU"
    rates.record(pool, recipe, ["cpu"], 2.0, 40)
    cpuinfo.write_text("model name\t: Slow CPU\n")
    assert rates.estimate(pool, recipe, ["cpu"]) is None
    assert value(rates.estimate(pool, recipe)) == 2.0


def test_gpus_are_called_what_the_driver_calls_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(energy, "_DRIVER", tmp_path)
    assert energy.hardware("cuda") == "cuda"
    for number in range(2):
        (tmp_path / "gpus" / str(number)).mkdir(parents=True)
        (tmp_path / "gpus" / str(number) / "information").write_text("Model: \t\t NVIDIA H200\nIRQ:   \t\t 1\n")
    assert energy.hardware("cuda") == "NVIDIA H200"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"images_per_second": 0}', "[" * 100_000])
def test_a_damaged_record_is_one_line(pool: Path, recipe: Recipe, text: str) -> None:
    rates.record(pool, recipe, ["cpu"], 2.0, 40)
    (file,) = (pool.parent / "rates").iterdir()
    file.write_text(text)
    with pytest.raises(ArtifactError, match=rf"damaged record of how fast images were rendered: {file}: delete it"):
        rates.estimate(pool, recipe)
