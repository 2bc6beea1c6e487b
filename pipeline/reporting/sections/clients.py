"""Accuracy over clients and by class, and what each client reaches alone."""

from collections.abc import Mapping, Sequence

import numpy as np
from markupsafe import Markup

from pipeline.reporting import tables
from pipeline.reporting.arms import ArmRuns
from pipeline.reporting.charts import strips
from pipeline.reporting.charts.strips import Strip
from pipeline.reporting.page import Charts, Folded, Part, Section, Shown, Text
from pipeline.reporting.summary import Summary, budgets

_MEANING = (
    "The accuracy that a client sees is the accuracy on the test images of each class, weighted by how many real images "
    "of that class the client holds."
)
_UNIT = "clients by accuracy, percent; the tick is their mean"
_TICKS = (0.0, 20.0, 40.0, 60.0, 80.0, 100.0)


def make(summary: Summary, arms: Sequence[ArmRuns], places: Mapping[str, int], class_names: Sequence[str]) -> Section:
    """Return the section; it says so if no run measured accuracy by class."""
    title = "Clients and classes"
    over = tables.over_clients(summary)
    if not over.rows:
        return Section(title, [Text("No run measured accuracy by class.")])
    parts: list[Part] = [Text(_MEANING), Charts(_charts(summary, arms, places), wide=True), Shown(over, 3)]
    by_class = [Shown(table) for table in tables.by_class(summary, arms, class_names)]
    if by_class:
        parts.append(Folded("Accuracy by class", by_class))
    return Section(title, parts)


def _charts(summary: Summary, arms: Sequence[ArmRuns], places: Mapping[str, int]) -> list[Markup]:
    """Return for each algorithm and budget the distribution over the clients of all seeds, a row for each fill."""
    made = []
    for algorithm in dict.fromkeys(arm.algorithm for arm in summary.arms):
        for budget in budgets(summary):
            chosen = [arm for arm in arms if (arm.algorithm, arm.budget) == (algorithm, budget)]
            rows = [strip for arm in chosen if (strip := _strip(arm, places[arm.fill]))]
            if rows:
                made.append(strips.draw(rows, f"{algorithm}, equal {budget}", unit=_UNIT, ticks=_TICKS))
    return made


def _strip(arm: ArmRuns, place: int) -> Strip | None:
    values = [100 * share for seen in arm.clients.values() for share in seen if share is not None]
    if not values:
        return None
    mean, worst = float(np.mean(values)), min(values)
    return Strip(arm.fill, values, place, f"mean {mean:.1f}, worst {worst:.1f}", {"mean": mean})
