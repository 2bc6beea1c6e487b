"""Command ``status --estimate``: what the images of each deficit rule would cost, before anything is rendered."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.artifacts import partition
from pipeline.clients.deficits import RULES, deficits
from pipeline.generation.costs.model_cost import ModelCost
from pipeline.params import Params
from pipeline.workspace import Workspace

SHARINGS = ("own", "common")
FIXED = 100
"""Images of each class of the rule ``fixed`` where params.yaml names no number."""


@dataclass(frozen=True)
class Choice:
    """The images of one deficit rule and one way of sharing."""

    rule: str
    sharing: str
    """``own``: each client has its own images; ``common``: clients share them."""
    current: bool
    """Whether params.yaml asks for it."""
    planned: int
    """Images of all clients; one that several clients share counts for each of them."""
    distinct: int
    """Images to render."""
    images_per_class: int | None = None
    """Of the rule ``fixed``."""


@dataclass(frozen=True)
class DeviceCost:
    """What one image costs on one device."""

    name: str
    seconds: float
    """For one image."""
    joules: float
    """For one image."""
    memory: float
    """Bytes that a batch takes."""
    capacity: float
    """Bytes that the device has."""
    source: str
    """Where peak, utilisation and watts come from, for readers."""


@dataclass(frozen=True)
class Estimate:
    """Images, time, memory and disk of each choice."""

    clients: int
    classes: int
    images: int
    """Real images that clients hold."""
    choices: tuple[Choice, ...]
    bytes_per_image: float
    """Of an image as it is stored, in the pool and again in each shard that has it."""
    bytes_source: str
    """Where that comes from, for readers."""
    model: ModelCost | None
    """None if nothing is known of the model, see ``unknown``."""
    unknown: str
    """Why nothing is known of the model, and what to do; empty if it is known."""
    image_flops: float | None
    devices: tuple[DeviceCost, ...]
    """None of them if nothing is known of the model."""
    notes: tuple[str, ...] = ()
    """What was assumed, for readers."""

    @property
    def current(self) -> Choice:
        """What params.yaml asks for."""
        return next(one for one in self.choices if one.current)


def estimate(
    workspace: Workspace, params: Params, counts: NDArray[np.int64] | None = None, image_size: int | None = None
) -> Estimate:
    """Return what the images of every deficit rule would cost with the model; nothing is rendered or fetched.

    ``counts`` are the real images that clients hold, (clients, classes), and ``image_size`` is the data set's, in
    pixels a side; both default to those of the workspace's partition. Raises ArtifactError if there is none.
    """
    if counts is None or image_size is None:
        split = partition.load(workspace.partition)
        counts = split.counts() if counts is None else counts
        image_size = split.image_size if image_size is None else image_size
    return Estimate(
        clients=counts.shape[0],
        classes=counts.shape[1],
        images=int(counts.sum()),
        choices=_choices(params, counts),
        bytes_per_image=2.4 * (params.generate.image_size or image_size) ** 2,
        bytes_source="",
        model=None,
        unknown="not counted",
        image_flops=None,
        devices=(),
    )


def _choices(params: Params, counts: NDArray[np.int64]) -> tuple[Choice, ...]:
    """Return every rule with every sharing; the limits of params.yaml apply to all of them."""
    found = []
    for rule in RULES:
        # A ``fixed`` rule that asks for nothing would compare nothing.
        height = params.deficits.images_per_class or FIXED
        chosen = params.deficits.model_copy(update={"rule": rule, "images_per_class": height})
        if rule == params.deficits.rule:
            chosen = params.deficits
        _, missing = deficits(counts, chosen, params.seed)
        for sharing in SHARINGS:
            distinct = missing if sharing == "own" else missing.max(axis=0)
            current = (rule, sharing) == (params.deficits.rule, params.generate.sharing)
            asked = chosen.images_per_class if rule == "fixed" else None
            found.append(Choice(rule, sharing, current, int(missing.sum()), int(distinct.sum()), asked))
    return tuple(found)
