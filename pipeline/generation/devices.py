"""Which devices render, and in which arithmetic. Devices change the speed and no byte, unless ``dtype`` is ``auto``."""

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

from pipeline import atomic
from pipeline.errors import ArtifactError, ParameterError
from pipeline.workspace import Workspace

VARIABLE = "GEN_FEDSD_DEVICES"
_WHERE = f"--devices or ${VARIABLE}"
_DRIVER, _NODES = Path("/proc/driver/nvidia"), Path("/dev")
_CPUINFO = Path("/proc/cpuinfo")
_DTYPES = ("float16", "bfloat16", "float32")


def parse(text: str) -> list[str]:
    """Return one device name per worker: ``auto``, ``cpu``, ``cpu*2``, ``cuda``, ``cuda:0,cuda:1``.

    ``auto`` is every CUDA device, else one worker per CPU core this process may use. A CPU worker computes on one
    thread: several workers scale better than several threads, and the number of threads would change the bytes.
    Raises ParameterError for another name, and for devices of two kinds: an image's bytes would depend on who drew it.
    """
    devices: list[str] = []
    for item in text.split(","):
        match = re.fullmatch(r"(auto|cpu|cuda(?::\d+)?)(?:\*([1-9]\d*))?", item.strip())
        if match is None:
            fix = "use auto, cpu, cpu*2, cuda, or a list such as cuda:0,cuda:1"
            raise ParameterError(f"unknown device {item.strip()!r}", _WHERE, fix)
        name, times = match.groups()
        devices += (_auto() if name == "auto" else [name]) * int(times or 1)
    if len({kind(device) for device in devices}) > 1:
        what = f"{text!r} mixes CPU and CUDA, and an image's bytes would depend on which drew it"
        raise ParameterError(what, _WHERE, "name devices of one kind")
    return devices


def check(device: str, dtype: str) -> None:
    """Raise ParameterError if this machine lacks the device, or the device the arithmetic.

    Only a process that renders calls this: a plan may be for the devices of another machine.
    """
    import torch

    _, _, number = device.partition(":")
    cuda = kind(device) == "cuda"
    if cuda and int(number or 0) >= (count := torch.cuda.device_count()):
        what = f"no device {device} here: PyTorch finds {count or 'no'} CUDA device{'s' * (count != 1)}"
        raise ParameterError(what, _WHERE, "use auto, cpu, or the number of one that is there")
    if cuda and dtype == "bfloat16":
        with torch.cuda.device(device):
            if not torch.cuda.is_bf16_supported():
                what = f"{device} ({torch.cuda.get_device_name(device)}) does not compute in bfloat16"
                raise ParameterError(what, "params.yaml, generate.dtype = bfloat16", "choose float16 or float32")


def kind(device: str) -> str:
    """Return ``cpu`` or ``cuda``."""
    return device.partition(":")[0]


@dataclass(frozen=True)
class Assumption:
    """The arithmetic that images will have, as far as a command that renders nothing can know."""

    dtype: str
    why: str
    """Where it comes from, for readers: ``set in params.yaml``, ``assumed, since ...``."""


def resolve_dtype(dtype: str, devices: list[str]) -> str:
    """Return the arithmetic in which these devices render; the recipe holds it, so images never mix."""
    return _dtype(any(device.startswith("cuda") for device in devices)) if dtype == "auto" else dtype


def expected_dtype(workspace: Workspace, dtype: str) -> Assumption:
    """Return the arithmetic to plan with, where no device renders: this needs neither the devices nor torch.

    ``auto`` is what the last ``generate`` recorded. Without a record it is derived from the devices that
    ``$GEN_FEDSD_DEVICES`` names, else from whether this machine has an NVIDIA GPU. Raises ArtifactError if the record
    is damaged, ParameterError if the variable names unknown devices.
    """
    if dtype != "auto":
        return Assumption(dtype, "set in params.yaml")
    if recorded := _recorded(workspace.arithmetic):
        return Assumption(recorded, f"as generate last rendered ({workspace.arithmetic})")
    named = os.environ.get(VARIABLE, "")
    if named and "auto" not in named:
        return Assumption(_dtype(parse(named)[0].startswith("cuda")), f"assumed, since ${VARIABLE} is {named}")
    if has_gpu():
        return Assumption(_dtype(cuda=True), "assumed, since this machine has an NVIDIA GPU")
    return Assumption(_dtype(cuda=False), "assumed, since this machine has no NVIDIA GPU")


def record_dtype(workspace: Workspace, dtype: str) -> None:
    """Record what ``auto`` stands for, so that commands without the devices plan for the same recipe."""
    atomic.write_text(workspace.arithmetic, json.dumps({"dtype": dtype}) + "\n")


def _recorded(path: Path) -> str | None:
    if not path.is_file():
        return None
    try:
        dtype = json.loads(path.read_text(encoding="utf-8"))["dtype"]
    except (OSError, ValueError, LookupError, TypeError):
        dtype = None
    if dtype not in _DTYPES:
        raise ArtifactError("damaged record of what generate.dtype: auto stands for", path, "delete it")
    return str(dtype)


def _dtype(cuda: bool) -> str:
    """Return what ``auto`` stands for: float16 on CUDA, on a CPU bfloat16 where it is faster than float32.

    It is faster with AMX, and on AMD cores with AVX512-BF16. Intel cores with AVX512-BF16 but no AMX run it at the rate
    of float32 and lose time by the conversions.
    """
    if cuda:
        return "float16"
    words = set(_CPUINFO.read_text().split()) if _CPUINFO.is_file() else set()
    fast = "amx_bf16" in words or {"avx512_bf16", "AuthenticAMD"} <= words
    return "bfloat16" if fast else "float32"


def has_gpu() -> bool:
    """Return whether there is a GPU that PyTorch would find, judged by the NVIDIA driver's files."""
    if os.environ.get("CUDA_VISIBLE_DEVICES", "0") in ("", "-1"):
        return False
    return _DRIVER.exists() or any(_NODES.glob("nvidia[0-9]*"))


def cores() -> int:
    """Return how many CPU cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _auto() -> list[str]:
    import torch

    if torch.cuda.is_available():
        return [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    return ["cpu"] * cores()
