"""Contact sheets: real images of each class beside synthetic ones and those that the gate refused."""

from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image

from pipeline.artifacts.manifest import Manifest
from pipeline.artifacts.partition import Partition
from pipeline.data.arrays import Stored
from pipeline.reporting import contact_sheet, pictures
from pipeline.reporting.page import Part, Section, Sheet, Sheets, Strip, Text

MOST_CLASSES = 30
_SHOWN = 64  # pixels a side up to which small images are enlarged, by a whole factor


def of_real(most: int, split: Partition, real: Stored) -> dict[str, list[Image.Image]]:
    """Return ``most`` real images of each class that clients hold, spread over them."""
    found = {}
    for label, name in enumerate(split.class_names):
        held = split.rows[split.labels == label]
        chosen = held[np.linspace(0, len(held) - 1, min(most, len(held))).astype(int)] if len(held) else []
        found[name] = [Image.fromarray(real.pixels[row]) for row in chosen]
    return found


def of_synthetic(most: int, split: Partition, shards: Manifest) -> dict[str, list[Image.Image]]:
    """Return ``most`` synthetic images of each class, from as many clients as possible."""
    chosen = [shard for shard in shards.shards[: 2 * most] if shard.rows]
    by_client = [contact_sheet.by_class(shards.pictures(shard, most), split.class_names) for shard in chosen]
    return {
        name: [found[name][turn] for turn in range(most) for found in by_client if len(found[name]) > turn][:most]
        for name in split.class_names
    }


def sheets(groups: Mapping[str, Mapping[str, Sequence[Image.Image]]], names: Sequence[str]) -> list[Sheet]:
    """Return a sheet for each of these classes; ``groups`` are images by class, by what they are."""
    return [Sheet(name, [_strip(label, found.get(name, ())) for label, found in groups.items()]) for name in names]


def _strip(label: str, images: Sequence[Image.Image]) -> Strip:
    if not images:
        return Strip(label, "", 0, 0)
    source, side = pictures.row(images)
    return Strip(label, source, len(images), side * max(1, _SHOWN // side))
