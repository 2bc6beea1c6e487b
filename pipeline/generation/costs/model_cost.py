"""What one image costs with a model: floating-point operations, parameters in memory, numbers alive at once."""

from collections.abc import Sequence
from dataclasses import dataclass

WIDTHS = {"float16": 2, "bfloat16": 2, "float32": 4}
"""Bytes of a number."""
OVERHEAD = 1e9
"""Bytes that torch and its libraries take in a process before there is a model, and at most on a GPU."""


@dataclass(frozen=True)
class ModelCost:
    """Counted from a model's configuration, for images of one size; two operations for each multiply-add."""

    model: str
    """The Hub id or the folder."""
    source: str
    """Where the numbers come from, for readers."""
    kind: str
    """The pipeline's class in diffusers."""
    size: int
    """Pixels a side at which the model renders."""
    denoiser_flops: float
    """One pass of the denoiser for one image."""
    decoder_flops: float
    """From the latents of one image to its pixels."""
    text_flops: float
    """One prompt through all text encoders; a prompt that many images share is encoded once."""
    parameters: int
    """Of all parts that are loaded."""
    denoiser_values: float
    """Largest number of values that are alive at once during a pass of the denoiser, for each image in it."""
    decoder_values: float
    """The same for the decoder."""
    denoiser_operators: int
    """Calls of torch's operators in a pass of the denoiser, whatever the batch; a GPU waits for small ones."""
    decoder_operators: int
    guided: bool = True
    """Whether guidance takes a second pass; distilled models that read the scale as an input take one."""
    upcast: bool = False
    """Whether a model in float16 decodes in float32."""

    def passes(self, guidance: Sequence[float]) -> float:
        """Return how often each step runs the denoiser, mean over the scales, which are equally frequent."""
        return sum(2 if self.guided and scale > 1 else 1 for scale in guidance) / len(guidance)

    def image_flops(self, calls: int, passes: float) -> float:
        """Return the operations of one image, for which the denoiser is called so often with so many passes each."""
        return calls * passes * self.denoiser_flops + self.decoder_flops

    def weights_bytes(self, dtype: str) -> int:
        """Return the bytes of all parameters: what is sent to a device that is to draw."""
        return self.parameters * WIDTHS[dtype]

    def memory_bytes(self, batch: int, guidance: Sequence[float], dtype: str) -> float:
        """Return the bytes on the device for a batch: parameters, and the larger of denoiser and decoder."""
        width, together = WIDTHS[dtype], 2 if self.guided and max(guidance) > 1 else 1
        wide = WIDTHS["float32"] if self.upcast and dtype == "float16" else width
        alive = max(together * self.denoiser_values * width, self.decoder_values * wide)
        return self.weights_bytes(dtype) + batch * alive + OVERHEAD
