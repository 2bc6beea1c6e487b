"""What a fill is in a comparison: a control, a fill of synthetic images, or a bound that no federation can have."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import ConfigDict

from pipeline.artifacts.holdings import Holdings
from pipeline.artifacts.partition import Partition
from pipeline.fills.common.given import SYNTHETIC

Kind = Literal["control", "synthetic", "bound"]


@dataclass(frozen=True)
class Fill:
    """What a comparison knows of a fill besides its runs."""

    __pydantic_config__ = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)

    fill: str
    kind: Kind
    image_megabytes: float
    """Synthetic images that must be at the clients, or where a central run is, before training: size of all shards."""


def describe(held: Holdings, split: Partition, shard_bytes: int) -> Fill:
    """Return what a comparison knows of a fill; ``shard_bytes`` is the size of all clients' shards."""
    kind = of(held, split)
    return Fill(held.fill, kind, round(shard_bytes / 1e6, 2) if kind == "synthetic" else 0.0)


def of(held: Holdings, split: Partition) -> Kind:
    """Return the kind of a fill by what its clients hold, so that a new fill needs no entry in any list.

    ``synthetic``: somebody trains on an image of a source ``synthetic`` or ``synthetic-...``, or the fill starts from a
    run that did. ``bound``: somebody trains on a real image that it does not hold in the partition (``iid``, ``real``,
    ``central-real``). ``control``: every client has only its own real images, and what is made of them.
    """
    made = (rows for name, rows in held.rows.items() if name == SYNTHETIC or name.startswith(f"{SYNTHETIC}-"))
    if held.start or any(len(own) for rows in made for own in rows):
        return "synthetic"
    own = split.by_client()
    for name, rows in held.rows.items():
        if held.sources[name].array != split.source.array:
            continue
        if len(rows) != len(own) or any(not np.isin(one, mine).all() for one, mine in zip(rows, own, strict=True)):
            return "bound"
    return "control"
