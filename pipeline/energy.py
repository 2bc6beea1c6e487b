"""Energy: counters of GPUs and processors where they can be read, else stated watts times seconds."""

import contextlib
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import ParameterError

VARIABLE = "GEN_FEDSD_WATTS"
"""The power of one worker, a core or a GPU, for machines whose counters cannot be read."""
POWERCAP = Path("/sys/class/powercap")
_DRIVER, _CPUINFO = Path("/proc/driver/nvidia"), Path("/proc/cpuinfo")

_GPU_WATTS = {"H200": 700.0, "H100": 700.0, "A100": 400.0, "4090": 450.0, "L4": 72.0, "T4": 70.0}
"""The power limits of NVIDIA's data sheets, by the word that is in a GPU's name; rendering comes near them."""
_OTHER_GPU = 300.0
_CORE = 12.0
"""A core of a server with its memory and its share of the board: about the design power of such processors divided by
their cores, with a margin, and what the Green Algorithms calculator assumes (Lannelongue et al., 2021)."""

Counter = Callable[[], float]
"""Returns joules since some moment."""


@dataclass(frozen=True)
class Crew:
    """The devices that work for one command."""

    devices: tuple[str, ...] = ("cpu",)
    """That of each worker: ``cpu``, ``cuda`` or ``cuda:1``; all of one kind."""

    @property
    def kind(self) -> str:
        """``cpu`` or ``cuda``."""
        return self.devices[0].partition(":")[0]

    @property
    def gpus(self) -> list[int]:
        """The numbers of the GPUs, each once."""
        return sorted({int(one.partition(":")[2] or 0) for one in self.devices}) if self.kind == "cuda" else []


@dataclass(frozen=True)
class Spent:
    """Energy, and how it was found out."""

    joules: float
    method: str
    """``NVML``, ``RAPL``, ``NVML + RAPL``, or the watts that were multiplied."""


def watts(kind: str, hardware: str) -> float:
    """Return the power of one worker: ``$GEN_FEDSD_WATTS``, else that of such a GPU or of a core.

    Raises ParameterError if the variable is no positive number.
    """
    if named := os.environ.get(VARIABLE):
        with contextlib.suppress(ValueError):
            if 0 < (value := float(named)) < 1e6:
                return value
        raise ParameterError(f"no power: {named!r}", f"${VARIABLE}", "set it to the watts of one core or GPU")
    if kind == "cpu":
        return _CORE
    words = hardware.replace("-", " ").split()
    return next((value for word, value in _GPU_WATTS.items() if word in words), _OTHER_GPU)


def hardware(kind: str) -> str:
    """Return what this machine's processor or its GPUs are called, without loading torch."""
    files = sorted(_DRIVER.glob("gpus/*/information")) if kind == "cuda" else [_CPUINFO]
    text = "\n".join(file.read_text(encoding="utf-8", errors="replace") for file in files if file.is_file())
    names = re.findall(r"^[Mm]odel(?: name)?[ \t]*:[ \t]*(.*[a-zA-Z].*)$", text, re.MULTILINE)
    return ", ".join(dict.fromkeys(name.strip() for name in names)) or kind


class Meter:
    """Tells the energy between one reading and the next, of a crew's devices."""

    def __init__(self, crew: Crew, powercap: Path = POWERCAP) -> None:
        """Open the counters; those that cannot be read are not asked again."""
        self._counters = dict[str, Counter]()
        if crew.kind == "cuda" and (gpus := _gpus(crew.gpus)):
            self._counters["NVML"] = gpus
        # A GPU of which only watts are known has no counter; that of its host alone would pass for all of it.
        if (crew.kind == "cpu" or self._counters) and (processors := _processors(powercap)):
            self._counters["RAPL"] = processors
        self._watts = watts(crew.kind, hardware(crew.kind))
        self._share = len(crew.gpus) / len(crew.devices) if crew.kind == "cuda" else 1.0  # workers may share a GPU
        self._last = {name: read() for name, read in self._counters.items()}

    def spent(self, device_seconds: float) -> Spent:
        """Return the energy since the last reading; without a counter that of so many seconds of one worker."""
        if not self._counters:
            return Spent(self._watts * self._share * device_seconds, f"{self._watts:g} W x device-seconds")
        now = {name: read() for name, read in self._counters.items()}
        joules = sum(max(now[name] - self._last[name], 0.0) for name in now)
        self._last = now
        return Spent(joules, " + ".join(now))


def _gpus(numbers: Sequence[int]) -> Counter | None:
    """Return the sum of the energy counters of GPUs, by CUDA's numbers; None if there is none to read.

    The counter exists since Volta, in millijoules, and covers the whole board, whoever uses it.
    """
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
        visible = _visible(pynvml.nvmlDeviceGetCount())
        names = [visible[number] for number in numbers]
        handles = [
            pynvml.nvmlDeviceGetHandleByIndex(int(one)) if one.isdigit() else pynvml.nvmlDeviceGetHandleByUUID(one)
            for one in names
        ]

        def read() -> float:
            return sum(float(pynvml.nvmlDeviceGetTotalEnergyConsumption(one)) for one in handles) / 1e3

        read()
    except (pynvml.NVMLError, IndexError):
        return None
    return read


def _visible(count: int) -> Sequence[str]:
    """Return the numbers or UUIDs of the GPUs that CUDA shows to this process."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    return [str(number) for number in range(count)] if named is None else [one.strip() for one in named.split(",")]


def _processors(powercap: Path) -> Counter | None:
    """Return the sum of the energy counters of all processor packages; None if they cannot be read.

    Linux shows them below ``intel-rapl:N``, those of AMD too, in microjoules; they cover all that runs on the machine.
    """
    packages = [path for path in sorted(powercap.glob("intel-rapl:*")) if path.name.count(":") == 1]
    try:
        opened = [_Package(path) for path in packages]
    except (OSError, ValueError):  # usually only root may read them
        return None
    return (lambda: sum(one.read() for one in opened)) if opened else None


class _Package:
    """The counter of one processor, which starts again at 0 above a largest value."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "energy_uj"
        self._range = int((folder / "max_energy_range_uj").read_text())
        self._last, self._turns = int(self._file.read_text()), 0

    def read(self) -> float:
        """Return joules; read at least once a turn, which takes minutes at full power."""
        now = int(self._file.read_text())
        self._turns += now < self._last
        self._last = now
        return (self._turns * self._range + now) / 1e6
