"""What it cost to reach the target, and what was spent in all."""

from collections.abc import Mapping

from pipeline.reporting import tables
from pipeline.reporting.charts import rows
from pipeline.reporting.charts.rows import Row
from pipeline.reporting.page import Charts, Part, Section, Shown, Text
from pipeline.reporting.summary import Summary, budgets


def make(summary: Summary, places: Mapping[str, int], weight_bytes: str, shard_megabytes: str) -> Section:
    """Return the section of bytes to the target accuracy."""
    charts = []
    for algorithm in dict.fromkeys(arm.algorithm for arm in summary.arms):
        for budget in budgets(summary):
            chosen = [arm for arm in summary.arms if (arm.algorithm, arm.budget) == (algorithm, budget)]
            bars = [
                Row(
                    arm.fill,
                    arm.megabytes_to_target,
                    "not reached" if arm.megabytes_to_target is None else f"{arm.megabytes_to_target:.1f} MB",
                    places[arm.fill],
                    tip=f"reached by {arm.seeds_at_target} of {len(arm.final_by_seed)} seeds",
                )
                for arm in chosen
            ]
            charts.append(rows.draw(bars, f"{algorithm}, equal {budget}", unit="MB, all clients, both ways"))
    sent = (
        f"What the server sends to the clients and they send back, {weight_bytes} bytes to one client in one round; means "
        "over the seeds that reach the target. A fill of generated images also needs these images at the clients once: "
        f"{shard_megabytes} MB of shards in all, or the generator itself."
    )
    parts: list[Part] = [Charts(charts, wide=True), Shown(tables.costs(summary), 3), Text(sent)]
    return Section(f"Bytes moved to reach {100 * summary.target_accuracy:g} % accuracy", parts)
