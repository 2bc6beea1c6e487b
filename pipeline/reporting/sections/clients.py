"""Accuracy over clients and by class, and what each client reaches alone."""

from collections.abc import Mapping, Sequence

import numpy as np
from markupsafe import Markup

from pipeline.reporting import measures, tables
from pipeline.reporting.arms import ArmRuns
from pipeline.reporting.charts import strips
from pipeline.reporting.charts.strips import Strip
from pipeline.reporting.page import Charts, Folded, Part, Section, Shown, Text
from pipeline.reporting.sections.results import keys
from pipeline.reporting.summary import Summary

_ALONE = (
    "Each client trained alone, with the steps that it takes in all rounds of the federation. Better off: the share of "
    "clients for which the federation is more accurate than their own model."
)
_DOMAINS = "Accuracy on the test images of each domain, in percent; mean over a run's last rounds, and over seeds."
_UNIT = "clients by accuracy, percent; ticks: worst 10 % and mean"
_TICKS = (0.0, 20.0, 40.0, 60.0, 80.0, 100.0)


def make(summary: Summary, arms: Sequence[ArmRuns], places: Mapping[str, int], class_names: Sequence[str]) -> Section:
    """Return the section; it says so if no run measured accuracy by class."""
    parts: list[Part] = []
    over = tables.over_clients(summary)
    if over.rows:
        parts += [
            Text(measures.OVER_CLIENTS),
            Charts(_charts(summary, arms, places), wide=True),
            Folded("All numbers", [Shown(over, 3)]),
        ]
    else:
        parts.append(Text("No run measured accuracy by class, so none over clients is known."))
    by_domain = [Shown(table) for table in tables.by_domain(arms)]
    if by_domain:
        parts += [Text(_DOMAINS), *by_domain]
    by_class = [Shown(table) for table in tables.by_class(summary, arms, class_names)]
    if by_class:
        parts.append(Folded("Accuracy by class", by_class))
    if summary.alone:
        parts += [Text(_ALONE), Shown(tables.alone(summary), 2)]
    else:
        parts.append(Text("No client was trained alone; to do so, list fills in train.alone."))
    return Section("Clients", parts)


def _charts(summary: Summary, arms: Sequence[ArmRuns], places: Mapping[str, int]) -> list[Markup]:
    """Return for each algorithm and budget the distribution over the clients of all seeds, a row for each fill."""
    made = []
    for key in keys(summary):
        chosen = [arm for arm in arms if (arm.algorithm, arm.budget) == key and arm.runs]
        found = [strip for arm in chosen if (strip := _strip(arm, places[arm.fill]))]
        if found:
            made.append(strips.draw(found, f"{key[0]}, equal {key[1]}", unit=_UNIT, ticks=_TICKS))
    return made


def _strip(arm: ArmRuns, place: int) -> Strip | None:
    spread = arm.spread()
    values = [100 * share for seed in arm.runs for share in arm.of_clients(seed) if share is not None]
    if spread is None or not values:
        return None
    marks = {"worst 10 %": 100 * spread.worst_tenth, "mean": 100 * spread.mean}
    text = f"{marks['mean']:.1f}, worst {100 * spread.worst:.1f}"
    return Strip(arm.fill, np.round(values, 4).tolist(), place, text, marks)
