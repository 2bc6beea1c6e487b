"""What a fill is in a comparison: a control, a fill of synthetic images, or a bound that no federation can have."""

from typing import Literal, get_args

import numpy as np

from pipeline.artifacts.holdings import Holdings
from pipeline.artifacts.partition import Partition
from pipeline.fills.common.given import SYNTHETIC

Kind = Literal["control", "synthetic", "bound"]
KINDS: tuple[Kind, ...] = get_args(Kind)


def of(held: Holdings, split: Partition) -> Kind:
    """Return the kind of a fill by what its clients hold, so that a new fill needs no entry in any list.

    ``synthetic``: somebody trains on a synthetic image, or the fill starts from a run that did. ``bound``: somebody
    trains on a real image that it does not hold in the partition (``iid``, ``real``, ``central-real``). ``control``:
    every client has only its own real images, and what is made of them.
    """
    if getattr(held, "start", None) or any(map(len, held.rows.get(SYNTHETIC, ()))):
        return "synthetic"
    own = split.by_client()
    for name, rows in held.rows.items():
        if held.sources[name].array != split.source.array:
            continue
        if len(rows) != len(own) or any(not np.isin(one, mine).all() for one, mine in zip(rows, own, strict=True)):
            return "bound"
    return "control"
