import os
from pathlib import Path

import pytest
import torch

from pipeline.errors import ArtifactError, ParameterError
from pipeline.generation import devices
from pipeline.generation.devices import Assumption
from pipeline.workspace import Workspace


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
    devices.check("cpu", "bfloat16")
    gpus = torch.cuda.device_count()
    for number in range(gpus):
        devices.check(f"cuda:{number}", "float16")
    found = {0: "no CUDA devices", 1: "1 CUDA device"}.get(gpus, f"{gpus} CUDA devices")
    for missing in ["cuda"] * (not gpus) + [f"cuda:{gpus}", f"cuda:{gpus + 7}"]:
        with pytest.raises(ParameterError, match=f"no device {missing} here: PyTorch finds {found}: --devices or"):
            devices.check(missing, "float16")


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


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Have the machine look as if it had no NVIDIA driver; return the folder in place of /dev."""
    monkeypatch.delenv(devices.VARIABLE, raising=False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev" / "nvidiactl").touch()
    monkeypatch.setattr(devices, "_DRIVER", tmp_path / "driver")
    monkeypatch.setattr(devices, "_NODES", tmp_path / "dev")
    return tmp_path / "dev"


def test_a_dtype_that_is_set_needs_no_device(workspace: Workspace) -> None:
    devices.record_dtype(workspace, "float16")
    assert devices.expected_dtype(workspace, "float32") == Assumption("float32", "set in params.yaml")


def test_auto_is_what_generate_recorded_last(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever devices are named."""
    monkeypatch.setenv(devices.VARIABLE, "cuda")
    for dtype in ("float32", "bfloat16"):
        devices.record_dtype(workspace, dtype)
        expected = Assumption(dtype, "as generate last rendered (data/arithmetic.json)")
        assert devices.expected_dtype(workspace, "auto") == expected
    assert list(workspace.data.iterdir()) == [workspace.arithmetic]


@pytest.mark.parametrize("content", [b"", b"[]", b"null", b'{"dtype": 5}', b'{"dtype": "float8"}', b"\xff", b"{}"])
def test_a_damaged_record_is_one_line(workspace: Workspace, content: bytes) -> None:
    workspace.data.mkdir()
    workspace.arithmetic.write_bytes(content)
    with pytest.raises(
        ArtifactError, match=r"^damaged record of what .* stands for: data/arithmetic\.json: delete it$"
    ):
        devices.expected_dtype(workspace, "auto")


@pytest.mark.parametrize(("named", "cuda"), [("cuda:0,cuda:1", True), ("cuda*2", True), ("cpu*2", False)])
def test_without_a_record_auto_follows_the_devices_that_are_named(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, no_gpu: Path, named: str, cuda: bool
) -> None:
    monkeypatch.setenv(devices.VARIABLE, named)
    expected = devices.resolve_dtype("auto", ["cuda" if cuda else "cpu"])
    found = devices.expected_dtype(workspace, "auto")
    assert found == Assumption(expected, f"assumed, since $GEN_FEDSD_DEVICES is {named}")


def test_unknown_devices_that_are_named_are_refused(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(devices.VARIABLE, "tpu")
    with pytest.raises(ParameterError, match="unknown device 'tpu'"):
        devices.expected_dtype(workspace, "auto")


@pytest.mark.parametrize("named", [None, "", "auto", "auto*2"])
def test_else_auto_follows_from_the_driver(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, no_gpu: Path, named: str | None
) -> None:
    """A device node or the driver's folder shows a GPU, unless CUDA_VISIBLE_DEVICES hides it."""
    if named is not None:
        monkeypatch.setenv(devices.VARIABLE, named)
    cpu = devices.resolve_dtype("auto", ["cpu"])
    without = Assumption(cpu, "assumed, since this machine has no NVIDIA GPU")
    with_one = Assumption("float16", "assumed, since this machine has an NVIDIA GPU")
    assert devices.expected_dtype(workspace, "auto") == without
    (no_gpu / "nvidia3").touch()
    assert devices.expected_dtype(workspace, "auto") == with_one
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert devices.expected_dtype(workspace, "auto") == without
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    (no_gpu / "nvidia3").unlink()
    (no_gpu.parent / "driver").mkdir()
    assert devices.expected_dtype(workspace, "auto") == with_one


def test_on_this_machine_the_assumption_is_what_rendering_would_use(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(devices.VARIABLE, raising=False)
    assumed = devices.expected_dtype(workspace, "auto").dtype
    assert assumed == devices.resolve_dtype("auto", devices.parse("auto"))
