"""What one image costs with a model: floating-point operations, parameters in memory, numbers alive at once."""

from collections.abc import Sequence
from dataclasses import dataclass


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
    guided: bool = True
    """Whether guidance takes a second pass; distilled models that read the scale as an input take one."""

    def passes(self, guidance: Sequence[float]) -> float:
        """Return how often each step runs the denoiser, mean over the scales, which are equally frequent."""
        return sum(2 if self.guided and scale > 1 else 1 for scale in guidance) / len(guidance)

    def image_flops(self, calls: int, guidance: Sequence[float]) -> float:
        """Return the operations of one image, of which the denoiser is called ``calls`` times."""
        return calls * self.passes(guidance) * self.denoiser_flops + self.decoder_flops

    def weights_bytes(self, width: int) -> int:
        """Return the bytes of all parameters, of ``width`` bytes each: what is sent to a device that is to draw."""
        return self.parameters * width

    def memory_bytes(self, batch: int, guidance: Sequence[float], width: int) -> float:
        """Return the bytes on the device for a batch: parameters, and the larger of denoiser and decoder."""
        together = 2 if self.guided and max(guidance) > 1 else 1
        alive = batch * max(together * self.denoiser_values, self.decoder_values)
        return self.weights_bytes(width) + alive * width
