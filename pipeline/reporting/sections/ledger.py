"""What was spent, as far as it is the same on every machine: images, local work, bytes on the network."""

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup

from pipeline.artifacts.manifest import Manifest
from pipeline.reporting.arms import ArmRuns
from pipeline.reporting.page import Part, Section, Settings, Shown, Text
from pipeline.reporting.summary import Summary
from pipeline.reporting.tables import Table

_HEAD = (
    *("algorithm", "fill", "budget"),
    *("images through training", "steps", "MB to clients", "MB to the server", "MB of images"),
)

_ELSEWHERE = Markup(
    "Seconds, energy and their price of a point of accuracy differ from machine to machine, so this page leaves them "
    'out: see <a href="ledger.html">ledger.html</a> beside it, or <code>gen-fedsd status --ledger</code>.'
)


def make(summary: Summary, arms: Sequence[ArmRuns], shards: Manifest) -> Section:
    """Return the section; equal results give an equal one."""
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
        Text(_ELSEWHERE),
    ]
    return Section("What was spent", parts)


def _row(arm: ArmRuns, megabytes: float) -> tuple[str, ...]:
    found = list(arm.measures.values())
    samples = np.mean([one.samples_per_round * one.rounds for one in found])
    steps = np.mean([one.steps_per_round * one.rounds for one in found])
    moved = [np.mean([getattr(one, name) for one in found]) / 1e6 for name in ("bytes_down", "bytes_up")]
    counts = (f"{samples:,.0f}", f"{steps:,.0f}", *(f"{value:,.1f}" for value in moved), f"{megabytes:,.1f}")
    return (arm.algorithm, arm.fill, f"equal {arm.budget}", *counts)
