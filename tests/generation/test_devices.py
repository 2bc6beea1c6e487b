import os

import pytest
import torch

from pipeline.errors import ParameterError
from pipeline.generation import devices


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cpu", ["cpu"]),
        ("cpu*3", ["cpu"] * 3),
        ("cuda", ["cuda"]),
        ("cuda:0, cuda:1", ["cuda:0", "cuda:1"]),
        ("cuda:1*2,cuda:0", ["cuda:1", "cuda:1", "cuda:0"]),
    ],
)
def test_parse(text: str, expected: list[str]) -> None:
    assert devices.parse(text) == expected


@pytest.mark.parametrize("text", ["", "gpu", "cpu*0", "cpu*", "cuda:", "cpu:0", "cpu,,cpu", "cpu * 2", "auto3"])
def test_an_unknown_device_is_refused(text: str) -> None:
    with pytest.raises(ParameterError, match=r"unknown device .*: --devices or \$GEN_FEDSD_DEVICES: use auto, cpu"):
        devices.parse(text)


@pytest.mark.parametrize("text", ["cuda:0,cpu", "cpu*2,cuda", "cpu,cuda:1*2"])
def test_devices_of_two_kinds_are_refused(text: str) -> None:
    with pytest.raises(ParameterError, match=r"mixes CPU and CUDA.*: --devices or \$GEN_FEDSD_DEVICES: name "):
        devices.parse(text)


def test_a_device_that_is_not_there_is_refused() -> None:
    devices.check("cpu")
    gpus = torch.cuda.device_count()
    for number in range(gpus):
        devices.check(f"cuda:{number}")
    found = {0: "no CUDA devices", 1: "1 CUDA device"}.get(gpus, f"{gpus} CUDA devices")
    for missing in ["cuda"] * (not gpus) + [f"cuda:{gpus}", f"cuda:{gpus + 7}"]:
        with pytest.raises(ParameterError, match=f"no device {missing} here: PyTorch finds {found}: --devices or"):
            devices.check(missing)


def test_auto_is_every_gpu_else_a_worker_for_each_core() -> None:
    gpus = torch.cuda.device_count()
    expected = [f"cuda:{i}" for i in range(gpus)] or ["cpu"] * devices.cores()
    assert devices.parse("auto") == expected
    assert devices.parse("auto*2") == expected * 2


def test_cores_follow_the_processes_own_limit() -> None:
    if not hasattr(os, "sched_setaffinity"):
        pytest.skip("this system cannot limit a process to some cores")
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert devices.cores() == 1
    finally:
        os.sched_setaffinity(0, before)


def test_dtype_that_is_said_is_taken_and_auto_depends_on_the_device() -> None:
    assert devices.resolve_dtype("float32", ["cuda:0"]) == "float32"
    assert devices.resolve_dtype("bfloat16", ["cpu"]) == "bfloat16"
    assert devices.resolve_dtype("auto", ["cuda:0"]) == "float16"
    assert devices.resolve_dtype("auto", ["cuda:0", "cuda:1"]) == "float16"
    assert devices.resolve_dtype("auto", ["cpu"]) in ("bfloat16", "float32")
