"""Named devices: peak, the share of it that diffusion models reach, power and memory, each with its source."""

import os
import time
from dataclasses import dataclass

from pipeline import energy
from pipeline.generation import devices
from pipeline.generation.costs.model_cost import ModelCost

LAUNCH = 25e-6
"""Seconds from the start of an operator to that of the next one on a GPU: the time of Stable Diffusion 1.5 in batches
of 1 on an A100 (26 µs at 32 steps a second), divided by its operators."""
_BENCHMARK = "diffusers' documentation, torch2.0.md: Stable Diffusion 1.5, batch 16, not compiled"


@dataclass(frozen=True)
class Device:
    """A kind of device; operations are counted as two for each multiply-add."""

    name: str
    peak_half: float
    """Operations a second in float16 with sums in float32, without sparsity."""
    peak_single: float
    """The same in float32; on GPUs since Ampere in TF32, in which cuDNN's convolutions compute then."""
    used_half: float
    """The share of the peak that a whole rendering reaches."""
    used_single: float
    watts: float
    """Its power limit, which a rendering with full batches comes near."""
    memory: float
    """Bytes."""
    source: str
    """Where the share comes from, for readers."""
    bfloat16: bool = True
    """Whether it computes in bfloat16 as fast as in float16."""
    launch: float = LAUNCH
    """Seconds from the start of an operator to that of the next one."""

    def computes_single(self, dtype: str) -> bool:
        """Return whether arithmetic of this name has the rate of float32."""
        return dtype == "float32" or (dtype == "bfloat16" and not self.bfloat16)

    def rate(self, dtype: str) -> float:
        """Return the operations a second that a rendering reaches in this arithmetic."""
        single = self.computes_single(dtype)
        return self.peak_single * self.used_single if single else self.peak_half * self.used_half

    def seconds(self, cost: ModelCost, calls: int, passes: float, batch: int, dtype: str) -> float:
        """Return the seconds of one image in batches of ``batch``, for which the denoiser is called ``calls`` times.

        A call takes as long as its operations, but no less than it takes to start its operators one by one.
        """
        decoding = "float32" if cost.upcast and dtype == "float16" else dtype
        denoiser = max(batch * passes * cost.denoiser_flops / self.rate(dtype), cost.denoiser_operators * self.launch)
        decoder = max(batch * cost.decoder_flops / self.rate(decoding), cost.decoder_operators * self.launch)
        return (calls * denoiser + decoder) / batch


GPUS = (
    Device(
        *("H100 SXM 80 GB", 989e12, 494e12, 0.14, 0.14, 700, 80e9),
        "1.48 times the A100, as measured with Stable Diffusion XL",
    ),
    Device(*("A100 SXM 80 GB", 312e12, 156e12, 0.30, 0.30, 400, 80e9), f"{_BENCHMARK}, 3.6 steps/s"),
    Device(*("RTX 4090", 165e12, 82.6e12, 0.50, 0.50, 450, 24e9), f"{_BENCHMARK}, 3.2 steps/s"),
    Device(
        *("L4", 121e12, 60e12, 0.20, 0.20, 72, 24e9), "assumed: between the T4 and the A10 (0.27), as is its design"
    ),
    Device(*("T4", 65e12, 8.1e12, 0.17, 0.50, 70, 16e9), f"{_BENCHMARK}, 2.3 s/step", bfloat16=False),
)
"""Peaks, power and memory are those of NVIDIA's data sheets."""

_CPU_USED_HALF, _CPU_USED_SINGLE = 0.45, 0.70
"""Of the rate of a matrix product, what the forward pass of a UNet reaches; see docs/cost.md."""


def cpu(dtype: str) -> Device:
    """Return this machine's processor, all cores together, by timing a matrix product on one of them now; loads torch.

    It takes a tenth of a second. Memory is that of the machine.
    """
    cores = devices.cores()
    half = cores * _product_rate("bfloat16" if dtype == "float16" else dtype)
    single = half if dtype == "float32" else cores * _product_rate("float32")
    memory = float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    return Device(
        name=f"this CPU, {cores} core{'s' * (cores != 1)}",
        peak_half=half,
        peak_single=single,
        used_half=_CPU_USED_HALF,
        used_single=_CPU_USED_SINGLE,
        watts=energy.watts("cpu", "") * cores,
        memory=memory,
        launch=0.0,
        source="peak: a matrix product timed here now; share: as UNets reached on another machine, see docs/cost.md",
    )


def _product_rate(dtype: str, size: int = 1024, repeats: int = 4) -> float:
    """Return the operations a second of one core in a matrix product, the fastest of some."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        matrix = torch.ones(size, size, dtype=getattr(torch, dtype))
        times = []
        for _ in range(repeats):
            start = time.process_time()
            matrix @ matrix
            times.append(time.process_time() - start)
    finally:
        torch.set_num_threads(threads)
    return 2 * size**3 / min(times)
