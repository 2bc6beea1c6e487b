"""What was spent: images that were drawn, local work, bytes on the network, and wall times."""

from collections.abc import Mapping, Sequence

import numpy as np

from pipeline.artifacts.manifest import Manifest
from pipeline.reporting.arms import ArmRuns
from pipeline.reporting.page import Folded, Part, Section, Settings, Shown, Text
from pipeline.reporting.summary import Summary
from pipeline.reporting.tables import Table

_HEAD = (
    *("algorithm", "fill", "budget"),
    *("images through training", "steps", "MB to clients", "MB to the server", "MB of images"),
)

_TIMES = (
    "Wall times are those of the last run of each stage on this machine; a stage that found its images or runs in the "
    "cache was short."
)


def make(summary: Summary, arms: Sequence[ArmRuns], shards: Manifest, times: Mapping[str, str]) -> Section:
    """Return the section; ``times`` are wall times by stage."""
    refused = sum(shards.refusals())
    drawn = {
        "synthetic images that clients have": f"{shards.rows:,}",
        **({"images that the gate refused": f"{refused:,}"} if shards.gate is not None else {}),
        "size of all shards": f"{sum(shard.bytes for shard in shards.shards) / 1e6:.1f} MB",
    }
    weights = {one.fill: one.image_megabytes for one in summary.fills}
    rows = tuple(_row(arm, weights.get(arm.fill, 0.0)) for arm in arms if arm.runs)
    parts: list[Part] = [
        Shown(Table("", _HEAD, rows), 3),
        Text(
            "All clients together in all rounds of one run, mean over seeds. Images that were generated are at the "
            "clients once, before training."
        ),
        Settings(drawn),
        Folded("Wall time of each stage", [Settings(times), Text(_TIMES)]),
    ]
    return Section("What was spent", parts)


def _row(arm: ArmRuns, megabytes: float) -> tuple[str, ...]:
    found = list(arm.measures.values())
    samples = np.mean([one.samples_per_round * one.rounds for one in found])
    steps = np.mean([one.steps_per_round * one.rounds for one in found])
    moved = [np.mean([getattr(one, name) for one in found]) / 1e6 for name in ("bytes_down", "bytes_up")]
    counts = (f"{samples:,.0f}", f"{steps:,.0f}", *(f"{value:,.1f}" for value in moved), f"{megabytes:,.1f}")
    return (arm.algorithm, arm.fill, f"equal {arm.budget}", *counts)
