"""The images by class: real beside synthetic and what the gate refused, in order of how bad a class is."""

from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image

from pipeline import printable
from pipeline.artifacts.manifest import Manifest
from pipeline.artifacts.partition import Partition
from pipeline.artifacts.quality import Quality, Report
from pipeline.data.arrays import Stored
from pipeline.reporting import contact_sheet, pictures
from pipeline.reporting.page import Part, Section, Sheet, Sheets, Strip, Text

MOST_CLASSES = 30
"""Classes whose images are shown."""
GRADES = ("bad", "doubtful", "unknown", "good")
_SHOWN = 64  # pixels a side up to which small images are enlarged, by a whole factor

ByClass = Mapping[str, Sequence[Image.Image]]


def make(most: int, split: Partition, shards: Manifest, real: Stored, quality: Report | None) -> Section:
    """Return the section with ``most`` images of each class and kind."""
    order = worst_first(split.class_names, quality)
    names = order[:MOST_CLASSES]
    groups = {"real": of_real(most, split, real, names), "synthetic": _drawn(most, shards, names)}
    if shards.gate is not None:
        groups["refused"] = _drawn(most, shards, names, refused=True)
    told = _told(shards, len(names), len(order), quality is not None)
    parts: list[Part] = [*([Text(told)] if told else []), Sheets(sheets(groups, names, quality))]
    return Section("Real, synthetic and refused images" if shards.gate else "Real beside synthetic images", parts)


def worst_first(class_names: Sequence[str], quality: Report | None) -> list[str]:
    """Return classes with the worst verdict first, else in order of label."""
    found = {one.class_name: GRADES.index(one.verdict) for one in quality.classes} if quality else {}
    return sorted(class_names, key=lambda name: found.get(name, len(GRADES)))


def of_real(most: int, split: Partition, real: Stored, names: Sequence[str]) -> dict[str, list[Image.Image]]:
    """Return ``most`` real images of each class that clients hold, spread over them."""
    found = {}
    for name in names:
        held = split.rows[split.labels == split.class_names.index(name)]
        chosen = held[np.linspace(0, len(held) - 1, min(most, len(held))).astype(int)] if len(held) else []
        found[name] = [Image.fromarray(real.pixels[row]) for row in chosen]
    return found


def _drawn(most: int, shards: Manifest, names: Sequence[str], refused: bool = False) -> dict[str, list[Image.Image]]:
    """Return ``most`` synthetic images of each class, or those that the gate refused, from many clients."""
    read = shards.refused_pictures if refused else shards.pictures
    chosen = [one for one in shards.shards if (one.refused_files if refused else one.rows)][: 2 * most]
    by_client = [contact_sheet.by_class(read(shard, most), shards.class_names) for shard in chosen]
    return {
        name: [found[name][turn] for turn in range(most) for found in by_client if len(found[name]) > turn][:most]
        for name in names
    }


def sheets(groups: Mapping[str, ByClass], names: Sequence[str], quality: Report | None = None) -> list[Sheet]:
    """Return a sheet for each of these classes; ``groups`` are images by class, by what they are."""
    found = {one.class_name: one for one in quality.classes} if quality else {}
    return [
        Sheet(
            printable.short(name, 60) or "(no name)",
            [_strip(label, images.get(name, ())) for label, images in groups.items()],
            *_grade(found.get(name)),
        )
        for name in names
    ]


def _grade(quality: Quality | None) -> tuple[str, str]:
    if quality is None:
        return "", ""
    return quality.verdict, ", ".join(quality.failures)


def _strip(label: str, images: Sequence[Image.Image]) -> Strip:
    if not images:
        return Strip(label, "", 0, 0)
    source, side = pictures.row(images)
    return Strip(label, source, len(images), side * max(1, _SHOWN // side))


def _told(shards: Manifest, shown: int, classes: int, judged: bool) -> str:
    """Return what was left out and refused; empty if nothing was."""
    parts = []
    if shown < classes:
        parts.append(f"{shown} of {classes} classes, {'the worst' if judged else 'those with the lowest labels'}.")
    if shards.gate is not None:
        refused, kept = sum(shards.refusals()), shards.rows
        share = 100 * refused / max(1, refused + kept)
        parts.append(
            f"The gate ({shards.gate.name}) refused {refused:,} of {refused + kept:,} drawn images ({share:.1f} %); "
            "the next index was drawn in place of each, so counts are exact."
        )
    return " ".join(parts)
