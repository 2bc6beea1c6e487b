"""Seconds and memory by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.generation.costs import gpus, stored
from pipeline.generation.costs.gpus import Device
from pipeline.generation.costs.model_cost import OVERHEAD, ModelCost

COST = ModelCost(
    model="m", source="s", kind="k", size=8, denoiser_flops=100.0, decoder_flops=50.0, text_flops=1.0,
    parameters=1000, denoiser_values=10.0, decoder_values=70.0, denoiser_operators=4, decoder_operators=2,
)  # fmt: skip
DEVICE = Device("d", 1000.0, 100.0, 0.5, 0.5, 10.0, 1e9, "", bfloat16=False, launch=0.0)


def changed(cost: ModelCost, **values: object) -> ModelCost:
    return ModelCost(**{**vars(cost), **values})


def test_seconds_by_hand() -> None:
    """5 calls of 2 passes of 100, and 50, at 1000 x 0.5 a second; in float32, and bfloat16 here, at 50 a second."""
    assert COST.image_flops(5, 2) == 1050
    assert DEVICE.seconds(COST, 5, 2, 16, "float16") == pytest.approx(1050 / 500)
    for dtype in ("float32", "bfloat16"):
        assert DEVICE.seconds(COST, 5, 2, 16, dtype) == pytest.approx(1050 / 50)
    assert DEVICE.seconds(changed(COST, upcast=True), 5, 2, 16, "float16") == pytest.approx(1000 / 500 + 50 / 50)


def test_small_calls_take_as_long_as_their_operators_start() -> None:
    """Batches of 2, with 1 s an operator: a call takes 4 s and not 2 x 100 / 500; decoding 2 s; for two images."""
    slow = Device("d", 1000.0, 100.0, 0.5, 0.5, 10.0, 1e9, "", launch=1.0)
    assert slow.seconds(COST, 5, 1, 2, "float16") == (5 * 4 + 2) / 2
    assert slow.seconds(COST, 5, 1, 1000, "float16") == pytest.approx(5 * 100 / 500 + 50 / 500)


def test_memory_by_hand() -> None:
    """1000 parameters, and in a batch of 4 the larger of 2 x 10 and 70 values each; 2 bytes a number."""
    assert COST.weights_bytes("float16") == 2000
    assert COST.memory_bytes(4, [7.5], "float16") - OVERHEAD == 2000 + 4 * 70 * 2
    assert COST.memory_bytes(4, [7.5], "float32") - OVERHEAD == 4000 + 4 * 70 * 4
    wide = changed(COST, denoiser_values=40.0)
    assert wide.memory_bytes(4, [1.0], "float16") - OVERHEAD == 2000 + 4 * 70 * 2
    assert wide.memory_bytes(4, [1.0, 7.5], "float16") - OVERHEAD == 2000 + 4 * 80 * 2
    assert changed(COST, upcast=True).memory_bytes(4, [1.0], "float16") - OVERHEAD == 2000 + 4 * 70 * 4


def test_a_list_of_scales_takes_the_mean_of_their_passes() -> None:
    assert COST.passes([1.0, 1.0, 3.0, 5.0]) == 1.5
    assert changed(COST, guided=False).passes([1.0, 3.0]) == 1


@pytest.mark.parametrize(
    ("name", "batch", "seconds"), [("A100", 16, 1 / 3.6), ("A100", 1, 1 / 31.2), ("4090", 16, 1 / 3.2), ("T4", 16, 2.3)]
)
def test_the_table_gives_back_what_was_measured(name: str, batch: int, seconds: float) -> None:
    """Steps of Stable Diffusion 1.5 with guidance, as published; shares are rounded, so to a tenth."""
    known = changed(COST, denoiser_flops=803.3e9, decoder_flops=0.0, denoiser_operators=1220, decoder_operators=0)
    (device,) = (one for one in gpus.GPUS if name in one.name)
    assert batch * device.seconds(known, 1, 2, batch, "float16") == pytest.approx(seconds, rel=0.1)


@given(st.integers(1, 100), st.integers(1, 64), st.sampled_from(["float16", "bfloat16", "float32"]))
def test_more_steps_never_cost_less_and_larger_batches_never_more(calls: int, batch: int, dtype: str) -> None:
    for device in gpus.GPUS:
        one = device.seconds(COST, calls, 2, batch, dtype)
        assert device.seconds(COST, calls + 1, 2, batch, dtype) > one > 0
        assert device.seconds(COST, calls, 2, batch + 1, dtype) <= one * (1 + 1e-12)


def test_this_processor_is_timed_and_keeps_torchs_threads() -> None:
    import torch

    before = torch.get_num_threads()
    found = gpus.cpu("float32")
    assert 1e8 < found.peak_single < 1e14
    assert (found.peak_half, torch.get_num_threads()) == (found.peak_single, before)


@pytest.mark.parametrize(
    ("image_format", "size", "expected"),
    [("png", 32, 2.3 * 1024), ("png", 512, 1.8 * 512**2), ("jpeg", 60, 0.7 * 3600)],
)
def test_bytes_of_an_image_are_those_of_the_nearest_size(image_format: str, size: int, expected: float) -> None:
    assert stored.bytes_per_image(image_format, size) == pytest.approx(expected)
