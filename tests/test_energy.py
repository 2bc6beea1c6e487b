"""Energy: the arithmetic of counters in folders like Linux's, and watts where there is none."""

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from pipeline import energy
from pipeline.energy import Crew, Meter, Spent, watts
from pipeline.errors import ParameterError

CORE, GPU = Crew(), Crew(("cuda:1", "cuda:1"))


def package(folder: Path, name: str, microjoules: int, most: int = 1_000_000) -> Path:
    """Write a counter as Linux shows it, and return the file that moves."""
    place = folder / name
    place.mkdir(parents=True, exist_ok=True)
    (place / "max_energy_range_uj").write_text(f"{most}\n")
    (place / "energy_uj").write_text(f"{microjoules}\n")
    return place / "energy_uj"


class Nvml(ModuleType):
    """NVIDIA's library as far as it is used: two GPUs with a counter each, in millijoules since the driver's start."""

    class NVMLError(Exception):
        pass

    def __init__(self, millijoules: list[int]) -> None:
        super().__init__("pynvml")
        self.millijoules = millijoules

    def nvmlInit(self) -> None:
        pass

    def nvmlDeviceGetCount(self) -> int:
        return len(self.millijoules)

    def nvmlDeviceGetHandleByIndex(self, number: int) -> SimpleNamespace:
        return SimpleNamespace(number=number)

    def nvmlDeviceGetHandleByUUID(self, name: str) -> SimpleNamespace:
        raise self.NVMLError(name)

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: SimpleNamespace) -> int:
        return self.millijoules[int(handle.number)]


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch) -> Nvml:
    made = Nvml([5_000, 70_000])
    monkeypatch.setitem(sys.modules, "pynvml", made)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return made


def test_processors_are_added_up_from_reading_to_reading(tmp_path: Path) -> None:
    """0.3 J and 0.5 J; then 0.1 J; the core inside a package is not counted again."""
    first, second = package(tmp_path, "intel-rapl:0", 100_000), package(tmp_path, "intel-rapl:1", 0)
    package(tmp_path, "intel-rapl:0:0", 77)
    meter = Meter(CORE, tmp_path)
    first.write_text("400000")
    second.write_text("500000")
    found = meter.spent(9.0)
    assert found.joules == pytest.approx(0.8)
    assert found.method == "RAPL"
    second.write_text("600000")
    assert meter.spent(9.0).joules == pytest.approx(0.1)


def test_a_counter_that_starts_again_loses_nothing(tmp_path: Path) -> None:
    """From 0.9 J to the end at 1 J, and 0.2 J more."""
    file = package(tmp_path, "intel-rapl:0", 900_000)
    meter = Meter(CORE, tmp_path)
    file.write_text("200000")
    assert meter.spent(1.0).joules == pytest.approx(0.3)


def test_without_a_counter_it_is_watts_times_device_seconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """12 W for 10 s of one core; a counter that only root may read is none."""
    assert Meter(CORE, tmp_path).spent(10.0) == Spent(120.0, "12 W x device-seconds")
    package(tmp_path, "intel-rapl:0", 0).unlink()
    assert Meter(CORE, tmp_path).spent(10.0).joules == 120.0
    monkeypatch.setenv(energy.VARIABLE, "3.5")
    assert Meter(CORE, tmp_path).spent(2.0) == Spent(7.0, "3.5 W x device-seconds")


@pytest.mark.parametrize("named", ["many", "0", "-3", "nan", "inf"])
def test_watts_that_are_none_are_refused(named: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(energy.VARIABLE, named)
    with pytest.raises(ParameterError, match=r"^no power: .*\$GEN_FEDSD_WATTS: set it to the watts"):
        watts("cpu", "any")


@pytest.mark.parametrize(
    ("name", "expected"),
    [("NVIDIA A100-SXM4-80GB", 400), ("NVIDIA GeForce RTX 4090", 450), ("Tesla T4", 70), ("NVIDIA L40S", 300)],
)
def test_a_gpu_has_the_watts_of_its_name(name: str, expected: float) -> None:
    assert watts("cuda", name) == expected


def test_only_the_gpus_that_work_are_read_and_each_once(nvml: Nvml, tmp_path: Path) -> None:
    """Two workers share GPU 1, which takes 2.5 J; what GPU 0 takes is somebody else's."""
    meter = Meter(GPU, tmp_path)
    nvml.millijoules[:] = [900_000, 72_500]
    assert meter.spent(1.0) == Spent(2.5, "NVML")


def test_gpus_and_their_host_are_added_up(nvml: Nvml, tmp_path: Path) -> None:
    file = package(tmp_path, "intel-rapl:0", 0)
    meter = Meter(GPU, tmp_path)
    nvml.millijoules[1] += 1_000
    file.write_text("250000")
    assert meter.spent(1.0) == Spent(1.25, "NVML + RAPL")


def test_a_gpu_without_a_counter_has_watts_and_its_host_is_not_taken_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two workers share one GPU of 300 W, so a second of both is one second of it."""
    package(tmp_path, "intel-rapl:0", 0)
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert Meter(GPU, tmp_path).spent(2.0) == Spent(300.0, "300 W x device-seconds")


def test_gpus_that_are_hidden_by_another_name_are_not_guessed(
    nvml: Nvml, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for visible in ("MIG-abc,MIG-def", "0"):  # the second one has no GPU of number 1
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        assert Meter(GPU, tmp_path).spent(0.0).method == "300 W x device-seconds"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,0")
    meter = Meter(GPU, tmp_path)
    nvml.millijoules[0] += 4_000
    assert meter.spent(0.0) == Spent(4.0, "NVML")
