"""The page's tables besides the results: images of each fill, costs to the target, accuracy over clients, by class."""

from collections.abc import Sequence

import numpy as np

from pipeline.artifacts.holdings import Holdings
from pipeline.reporting import skew as skews
from pipeline.reporting.arms import ArmRuns
from pipeline.reporting.summary import Summary, Table, budgets

MOST_CLASSES = 30
"""Rows of a table by class."""


def images(held: Sequence[Holdings], real: str) -> Table:
    """Return how many images clients train on with each fill, and which classes they cover.

    ``real`` is the source of the real images. Those that a client holds once more are added ones.
    """
    rows = []
    for one in held:
        own = sum(len(np.unique(each)) for each in one.rows.get(real, ()))
        of_class, covered = one.counts.sum(axis=0), int((one.counts > 0).sum())
        share = f"{covered:,} of {one.counts.size:,} ({100 * covered / one.counts.size:.0f} %)"
        spread = f"{of_class.min():,} to {of_class.max():,}"
        rows.append((one.fill, f"{own:,}", f"{one.counts.sum() - own:,}", spread, share))
    head = ("fill", "real images", "added images", "images of a class, all clients", "clients' classes with images")
    return Table("", head, tuple(rows))


def costs(summary: Summary) -> Table:
    """Return rounds and megabytes to the target accuracy, a row for each arm."""
    rows = []
    for arm in summary.arms:
        means = ("-" if value is None else f"{value:.1f}" for value in (arm.rounds_to_target, arm.megabytes_to_target))
        reached = f"{arm.seeds_at_target} of {len(arm.final_by_seed)}"
        rows.append((arm.algorithm, arm.fill, f"equal {arm.budget}", reached, *means))
    head = ("algorithm", "fill", "budget", "seeds that reach it", "rounds", "MB, all clients, both ways")
    return Table("", head, tuple(rows))


def over_clients(summary: Summary) -> Table:
    """Return the spread of accuracy over clients in percent, a row for each arm that knows it, and its worst class."""
    rows = []
    for arm in summary.arms:
        if arm.clients:
            shares = (arm.clients.least, arm.clients.median, arm.clients.greatest)
            worst = f"{arm.worst_class.name} {_percent(arm.worst_class.accuracy)}" if arm.worst_class else "-"
            rows.append((arm.algorithm, arm.fill, f"equal {arm.budget}", *map(_percent, shares), worst))
    head = ("algorithm", "fill", "budget", "least", "median", "greatest", "worst class")
    return Table("", head, tuple(rows))


def skew(summary: Summary) -> Table:
    """Return how skewed the clients' labels are with each fill, and in parentheses what IID clients would show."""
    return Table("", ("fill", *skews.HEAD), tuple((one.fill, *skews.cells(one)) for one in summary.skew))


def by_class(summary: Summary, arms: Sequence[ArmRuns], class_names: Sequence[str]) -> list[Table]:
    """Return accuracy by class in percent: a table for each algorithm and budget, a column for each fill.

    Of more than ``MOST_CLASSES`` classes, the ones that the compared fill (or, without it, the first) recognises worst.
    """
    tables = []
    for algorithm in dict.fromkeys(arm.algorithm for arm in arms):
        for budget in budgets(summary):
            chosen = [arm for arm in arms if (arm.algorithm, arm.budget) == (algorithm, budget)]
            columns = {arm.fill: shares for arm in chosen if (shares := arm.by_class())}
            if columns:
                title = f"{algorithm}, equal {budget}"
                deciding = columns.get(summary.fill, next(iter(columns.values())))
                shown = _shown(deciding)
                if len(shown) < len(deciding):
                    title += f": {len(shown)} of {len(deciding)} classes, those recognised worst"
                rows = tuple(
                    (class_names[label], *(_percent(shares[label]) for shares in columns.values())) for label in shown
                )
                tables.append(Table(title, ("class", *columns), rows))
    return tables


def _shown(shares: Sequence[float | None]) -> list[int]:
    """Return the labels of the lowest shares in order of label; classes without test images come last."""
    order = sorted(range(len(shares)), key=lambda label: 2.0 if (share := shares[label]) is None else share)
    return sorted(order[:MOST_CLASSES])


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f}"
