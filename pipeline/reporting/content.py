"""What the report's page says: the numbers beside the artifacts that they come from."""

from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image

from pipeline.artifacts import deficits, holdings, manifest, partition
from pipeline.artifacts.manifest import Manifest
from pipeline.artifacts.partition import Partition
from pipeline.data import decoded
from pipeline.data.arrays import Stored
from pipeline.fills.common.given import REAL
from pipeline.params import Params
from pipeline.reporting import contact_sheet, figures, settings, tables, verdict
from pipeline.reporting.arms import ArmRuns
from pipeline.reporting.page import Page
from pipeline.reporting.summary import Summary
from pipeline.reporting.tables import Table
from pipeline.workspace import Workspace


def page(
    workspace: Workspace, params: Params, summary: Summary, arms: Sequence[ArmRuns], describe: Callable[[str], str]
) -> Page:
    """Return the page's content; ``describe`` says in one sentence what a fill is.

    Raises ArtifactError if an artifact is missing or damaged, DataError if the real images are not those that were
    partitioned.
    """
    split, shards = partition.load(workspace.partition), manifest.load(workspace.manifest)
    lacks = deficits.load(workspace.deficits)
    real = decoded.open_data(workspace, params.data)
    split.check_source(real.fingerprint, params.data.path)
    return Page(
        clients=split.client_count,
        classes=len(split.class_names),
        scheme=settings.scheme(params.partition),
        headline=verdict.headline(summary),
        remarks=summary.remarks,
        results=_results(summary),
        test_images=f"{sum(real.inventory.test_counts):,}",
        seeds=_seeds(arms),
        local_work=settings.local_work(params.train),
        fills={arm.fill: describe(arm.fill) for arm in summary.arms},
        references={one.fill: (one.accuracy.percent(), describe(one.fill)) for one in summary.references},
        central_steps=f"{params.train.central_steps:,}",
        curves=_curves(summary, arms),
        over_clients=tables.over_clients(summary),
        by_class=tuple(tables.by_class(summary, arms, split.class_names)),
        costs=tables.costs(summary),
        weight_bytes=weight_bytes(arms),
        shard_megabytes=f"{sum(shard.bytes for shard in shards.shards) / 1e6:.1f}",
        images=_images(workspace, summary),
        maps=tuple(figures.heat_maps(lacks.have, lacks.filled, split.class_names, split.client_names)),
        skew=tables.skew(summary),
        sheet=figures.png(sheet(params.report.images_per_class, split, shards, real.train)),
        settings=settings.table(params, split, shards, real.inventory, lacks),
        times=settings.times(workspace.timings),
    )


def _results(summary: Summary) -> tuple[Table, ...]:
    return tuple(table for table in tables.results(summary) if table.title != tables.CENTRAL)


def _images(workspace: Workspace, summary: Summary) -> Table:
    names = dict.fromkeys(arm.fill for arm in summary.arms)
    return tables.images([holdings.load(workspace.fill(name)) for name in names], REAL)


def weight_bytes(arms: Sequence[ArmRuns]) -> str:
    """Return how many bytes one client receives in one round, or from how many to how many if arms differ."""
    sent = sorted(set().union(*(arm.sent() for arm in arms)))
    if not sent:
        return "0"
    return f"{sent[0]:,}" if len(sent) == 1 else f"{sent[0]:,} to {sent[-1]:,}"


def sheet(most: int, split: Partition, shards: Manifest, real: Stored) -> Image.Image:
    """Draw ``most`` real images of each class beside as many synthetic ones, from as many clients as possible."""
    rows: dict[str, list[list[Image.Image]]] = {}
    pixels = real.pixels
    chosen = [shard for shard in shards.shards[: 2 * most] if shard.rows]
    by_client = [contact_sheet.by_class(shards.pictures(shard, most), split.class_names) for shard in chosen]
    for label, name in enumerate(split.class_names):
        held = split.rows[split.labels == label]
        shown = held[np.linspace(0, len(held) - 1, min(most, len(held))).astype(int)] if len(held) else []
        turns = [found[name][turn] for turn in range(most) for found in by_client if len(found[name]) > turn]
        rows[name] = [[Image.fromarray(pixels[row]) for row in shown], turns[:most]]
    return contact_sheet.draw(rows, ["real", "synthetic"])


def _curves(summary: Summary, arms: Sequence[ArmRuns]) -> tuple[tuple[str, ...], ...]:
    fills = list(dict.fromkeys(arm.fill for arm in summary.arms))
    references = {one.fill: one.accuracy.mean for one in summary.references}
    drawn = []
    for algorithm in dict.fromkeys(arm.algorithm for arm in summary.arms):
        pair = []
        for budget in summary.budgets:
            chosen = [arm for arm in arms if (arm.algorithm, arm.budget) == (algorithm, budget) and arm.runs]
            if chosen:
                pair.append(figures.curves(chosen, fills, f"{algorithm}, equal {budget}", references))
        drawn.append(tuple(pair))
    return tuple(drawn)


def _seeds(arms: Sequence[ArmRuns]) -> str:
    counts = sorted({len(arm.runs) for arm in arms if arm.runs})
    most = f"{counts[0]} to {counts[-1]}" if len(counts) > 1 else str(*(counts or [0]))
    return f"{most} seed" if most == "1" else f"{most} paired seeds"
