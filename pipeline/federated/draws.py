"""Which of a client's images are drawn, in which order: passes over them, cut into batches."""

from collections.abc import Iterator

import torch
from torch import Tensor


def batches(count: int, batch_size: int, samples: int, seed: int) -> Iterator[Tensor]:
    """Yield batches of indexes (B,) below ``count``, ``samples`` in all; only the last one may be smaller.

    Each pass over all indexes has its own order. Batches cross from one pass into the next, so that clients of any size
    take as many steps for as many samples. Raises ValueError if there is nothing to draw from.
    """
    if samples and not count:
        raise ValueError(f"{samples} samples of no image")
    generator = torch.Generator().manual_seed(seed)
    left = torch.empty(0, dtype=torch.int64)
    while samples > 0:
        size = min(batch_size, samples)
        if len(left) < size:
            passes = [torch.randperm(count, generator=generator) for _ in range(-(-(size - len(left)) // count))]
            left = torch.cat([left, *passes])
        yield left[:size]
        left = left[size:]
        samples -= size
