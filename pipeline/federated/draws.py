"""Which of a client's images are drawn, in which order: passes over them, cut into batches."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from pipeline.federated.algorithm import LocalSettings


@dataclass(frozen=True)
class Chances:
    """How often each of a client's images is drawn, where some are drawn more often than others."""

    expected: Tensor
    """(n,) float64: how often in a pass, in the mean; together n."""
    groups: Tensor
    """(n,) int64: images of one group have equal chances. In each pass, each group is drawn as often as its images are
    expected to be together, rounded down or up, and each image of it as often as it is expected, rounded down or up."""


def chances(labels: Tensor, real: Tensor, settings: LocalSettings) -> Chances | None:
    """Return the chances of images with these labels (n,), of which some are real, (n,); None if all are equal.

    A real image is drawn ``real_weight`` times as often as another one: with ``class-balanced`` as another one of its
    class, while each class that the client has is drawn equally often.
    """
    weights = torch.ones(len(labels), dtype=torch.float64).masked_fill_(real, settings.real_weight)
    balanced = settings.sampling == "class-balanced"
    if balanced:
        weights /= torch.bincount(labels, weights)[labels]
    if len(weights.unique()) <= 1:
        return None
    return Chances(weights * (len(labels) / weights.sum()), 2 * labels + real if balanced else real.long())


def batches(count: int, batch_size: int, samples: int, seed: int, uneven: Chances | None = None) -> Iterator[Tensor]:
    """Yield batches of indexes (B,) below ``count``, ``samples`` in all; only the last one may be smaller.

    They are cut from passes of ``count`` indexes, each with its own order. A pass has every index once, or as often as
    ``uneven`` says. Batches cross from one pass into the next, so that clients of any size take as many steps for as
    many samples. Raises ValueError if there is nothing to draw from.
    """
    if samples and not count:
        raise ValueError(f"{samples} samples of no image")
    generator = torch.Generator().manual_seed(seed)
    left = torch.empty(0, dtype=torch.int64)
    while samples > 0:
        size = min(batch_size, samples)
        if len(left) < size:
            passes = [_pass(count, generator, uneven) for _ in range(-(-(size - len(left)) // count))]
            left = torch.cat([left, *passes])
        yield left[:size]
        left = left[size:]
        samples -= size


def _pass(count: int, generator: torch.Generator, uneven: Chances | None) -> Tensor:
    """Return the indexes of a pass in their order, (count,)."""
    order = torch.randperm(count, generator=generator)
    if uneven is None:
        return order
    # Systematic sampling: images lie side by side, group by group, each as long as it is expected often, and the one
    # that lies at u, u + 1, u + 2, ... is drawn.
    order = order[torch.argsort(uneven.groups[order], stable=True)]
    ends = uneven.expected[order].cumsum(0)[:-1]
    marks = torch.rand(1, dtype=torch.float64, generator=generator) + torch.arange(count, dtype=torch.float64)
    drawn = order[torch.searchsorted(ends, marks, right=True)]
    return drawn[torch.randperm(count, generator=generator)]
