"""Which devices render. A machine fact: it changes the speed, never a byte (but see ``resolve_dtype``)."""

import os
import re
from pathlib import Path

from pipeline.errors import ParameterError

VARIABLE = "GEN_FEDSD_DEVICES"
_WHERE = f"--devices or ${VARIABLE}"


def parse(text: str) -> list[str]:
    """Return one device name per worker: ``auto``, ``cpu``, ``cpu*2``, ``cuda``, ``cuda:0,cuda:1``.

    ``auto`` is every CUDA device, else one worker per CPU core this process may use. A CPU worker computes on one
    thread: several workers scale better than several threads, and the number of threads would change the bytes.
    Raises ParameterError for another name, and for devices of two kinds, between which bytes would depend on who drew.
    """
    devices: list[str] = []
    for item in text.split(","):
        match = re.fullmatch(r"(auto|cpu|cuda(?::\d+)?)(?:\*([1-9]\d*))?", item.strip())
        if match is None:
            fix = "use auto, cpu, cpu*2, cuda, or a list such as cuda:0,cuda:1"
            raise ParameterError(f"unknown device {item.strip()!r}", _WHERE, fix)
        name, times = match.groups()
        devices += (_auto() if name == "auto" else [name]) * int(times or 1)
    if len({device.partition(":")[0] for device in devices}) > 1:
        what = f"{text!r} mixes CPU and CUDA, and an image's bytes would depend on which drew it"
        raise ParameterError(what, _WHERE, "name devices of one kind")
    return devices


def check(device: str) -> None:
    """Raise ParameterError if this machine lacks the device.

    Only who renders asks: another machine may plan for devices of its own.
    """
    import torch

    kind, _, number = device.partition(":")
    if kind == "cuda" and int(number or 0) >= (count := torch.cuda.device_count()):
        what = f"no device {device} here: PyTorch finds {count or 'no'} CUDA device{'s' * (count != 1)}"
        raise ParameterError(what, _WHERE, "use auto, cpu, or the number of one that is there")


def resolve_dtype(dtype: str, devices: list[str]) -> str:
    """Return the arithmetic that ``auto`` stands for here; the recipe holds the answer, so images never mix.

    float16 on CUDA. On a CPU bfloat16 where it is faster than float32: with AMX, and on AMD cores with AVX512-BF16.
    Intel cores with AVX512-BF16 but no AMX run it at the rate of float32 and lose by the conversions.
    """
    if dtype != "auto":
        return dtype
    if any(device.startswith("cuda") for device in devices):
        return "float16"
    cpuinfo = Path("/proc/cpuinfo")
    words = set(cpuinfo.read_text().split()) if cpuinfo.is_file() else set()
    fast = "amx_bf16" in words or {"avx512_bf16", "AuthenticAMD"} <= words
    return "bfloat16" if fast else "float32"


def cores() -> int:
    """Return how many CPU cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _auto() -> list[str]:
    import torch

    if torch.cuda.is_available():
        return [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    return ["cpu"] * cores()
