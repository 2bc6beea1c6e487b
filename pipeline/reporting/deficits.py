"""What the rule of the deficits, its limits and classes without an image come to, in words."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.artifacts.partition import Partition
from pipeline.clients.deficits import cuts
from pipeline.params import DeficitsParams

_SHOWN = 5


def rule(lacking: NDArray[np.int64], params: DeficitsParams) -> str:
    """Return the rule and every limit with the number of images that it cuts from what the clients lack.

    ``lacking`` are the images that the rule asks for beyond the real ones, (clients, classes).
    """
    images = f", {params.images_per_class} images a class" if params.rule == "fixed" else ""
    text = f"{params.rule}{images}, ratio {params.ratio:g}"
    values = {"max_per_client": params.max_per_client, "max_total": params.max_total}
    text += "".join(f", {name} {value:,}" for name, value in values.items() if value is not None)
    limits, lacks = cuts(lacking, params), int(lacking.sum())
    if not limits:
        return text
    cut = ", ".join(f"{limit.name} cuts {limit.images:,}" for limit in limits)
    left = lacks - sum(limit.images for limit in limits)
    return f"{text}: the rule asks for {lacks:,} images, {cut}, so {left:,} are made"


def unheld(have: NDArray[np.int64], class_names: Sequence[str]) -> str:
    """Return how many classes no client has an image of, and their names; empty if there is none."""
    names = [class_names[label] for label in np.flatnonzero(~have.any(axis=0)).tolist()]
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{len(names)} of {len(class_names)} ({', '.join(names[:_SHOWN])}{more})" if names else ""


def holders(split: Partition) -> Iterator[str]:
    """Yield what a user should know of the clients: their names, those without images, classes that nobody has."""
    counts = split.counts()
    if split.client_names:
        first = ", ".join(f"{client} is {name}" for client, name in enumerate(split.client_names[:_SHOWN]))
        more = f", and so on to {split.client_count - 1}" if split.client_count > _SHOWN else ""
        yield f"clients are numbered in order of their names: {first}{more}"
    if empty := int((counts.sum(axis=1) == 0).sum()):
        yield f"{empty} of {split.client_count} clients hold no image"
    if nobody := unheld(counts, split.class_names):
        yield f"no client has an image of some classes: {nobody}"
