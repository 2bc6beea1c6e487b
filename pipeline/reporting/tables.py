"""The numbers of a report as tables of text: accuracies and differences, costs to the target, clients, classes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.artifacts.holdings import Holdings
from pipeline.reporting import skew as skews
from pipeline.reporting.arms import ArmRuns
from pipeline.reporting.measures import ClientSpread
from pipeline.reporting.summary import Arm, Reference, Summary, Target
from pipeline.reporting.verdict import p_text, replicates

MOST_CLASSES = 30
"""Rows of a table by class."""
CENTRAL = "central runs, for reference"
_SPREAD = ("mean", "deviation", "worst 10 %", "best 10 %", "worst")


@dataclass(frozen=True)
class Table:
    """A titled table of text; the first column names the row."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    differences: int = 0
    """How many of the last rows are differences of two others."""


def results(summary: Summary) -> list[Table]:
    """Return accuracies in percent with their 95 % intervals, and the local work of all clients in a round.

    A table for each algorithm and budget, which ends with the differences of the compared fill from each other one, and
    a table of the central runs. The replicates and the p of a difference are those of the primary number; with one
    partition there is no p.
    """
    found = [_results(summary, *key) for key in dict.fromkeys((arm.algorithm, arm.budget) for arm in summary.arms)]
    if summary.references:
        rows = tuple(
            (one.fill, one.accuracy.percent(), replicates(one.accuracy.partitions, one.accuracy.replicates))
            for one in summary.references
        )
        found.append(Table(CENTRAL, ("fill", "accuracy after the last step", "replicates"), rows))
    return found


def _results(summary: Summary, algorithm: str, budget: str) -> Table:
    arms = [arm for arm in summary.arms if (arm.algorithm, arm.budget) == (algorithm, budget)]
    rows = [
        (
            arm.fill,
            arm.primary.percent(),
            arm.last.percent(),
            arm.averaged.percent() if arm.averaged else "-",
            f"{arm.samples_per_round:,.0f}",
            f"{arm.steps_per_round:,.0f}",
            replicates(arm.primary.partitions, arm.primary.replicates),
            "-",
        )
        for arm in arms
    ]
    gains = [
        (
            f"{one.fill} - {one.control}",
            one.difference.percent(),
            "-",
            one.averaged.percent() if one.averaged else "-",
            *["-"] * 2,
            replicates(one.difference.partitions, one.difference.replicates),
            "-" if one.difference.p is None else p_text(one.difference.p).removeprefix("= "),
        )
        for one in summary.comparisons
        if (one.algorithm, one.budget) == (algorithm, budget)
    ]
    ends = "accuracy" if summary.last_rounds == 1 else f"mean of the last {summary.last_rounds} rounds"
    head = ("fill", ends, "last round", "averaged weights", "samples a round", "steps a round", "replicates", "p")
    return Table(f"{algorithm}, equal {budget}", head, (*rows, *gains), len(gains))


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
    """Return rounds and megabytes until the target accuracy: a row for each arm, then for each one-shot training.

    A one-shot training is a central run on all clients' synthetic images: its images are brought together once, and its
    weights are sent to each client once. It stands below the arms of each target.
    """
    rows = []
    images = {one.fill: one.image_megabytes for one in summary.fills}
    shots = one_shot(summary)
    targets = {(arm.algorithm, arm.budget): arm.target.accuracy for arm in summary.arms if arm.target}
    for key, target in targets.items():
        arms = [arm for arm in summary.arms if (arm.algorithm, arm.budget) == key]
        rows += [_cost(arm, arm.target, images.get(arm.fill, 0.0)) for arm in arms if arm.target]
        rows += [_once(one, images[one.fill], target) for one in shots]
    head = ("algorithm", "fill", "budget", "target", "seeds that reach it", "rounds", "MB, all clients, both ways",
            "MB of images, once", "MB in all")  # fmt: skip
    return Table("bytes until the target accuracy", head, tuple(rows))


def one_shot(summary: Summary) -> list[Reference]:
    """Return the central runs whose images were generated: one-shot trainings, to be compared at equal bytes."""
    images = {one.fill: one.image_megabytes for one in summary.fills}
    return [one for one in summary.references if images.get(one.fill)]


def _cost(arm: Arm, found: Target, images: float) -> tuple[str, ...]:
    names = (arm.algorithm, arm.fill, f"equal {arm.budget}", f"{100 * found.accuracy:.1f}")
    reached = f"{found.seeds} of {len(arm.by_seed)}"
    never = "" if found.censored_at is None else f"not reached by round {found.censored_at}"
    if found.rounds is None or found.megabytes is None:
        return (*names, reached, never, "-", f"{images:.1f}", "-")
    rounds = f"{found.rounds:.1f} (others: {never})" if never else f"{found.rounds:.1f}"
    return (*names, reached, rounds, f"{found.megabytes:.1f}", f"{images:.1f}", f"{found.megabytes + images:.1f}")


def _once(one: Reference, images: float, target: float) -> tuple[str, ...]:
    seeds = sum(accuracy >= target for accuracy in one.by_seed.values())
    names = ("one-shot", one.fill, "-", f"{100 * target:.1f}", f"{seeds} of {len(one.by_seed)}")
    sent = (f"{one.megabytes:.1f}", f"{images:.1f}", f"{one.megabytes + images:.1f}")
    return (*names, "0", *sent) if seeds else (*names, "not reached", *sent)


def over_clients(summary: Summary) -> Table:
    """Return the distribution of accuracy over clients in percent and the worst class, a row for each arm with any.

    The numbers are those of ``measures.ClientSpread``, mean over seeds.
    """
    rows = []
    for arm in summary.arms:
        if arm.clients:
            worst = f"{arm.worst_class.name} {_percent(arm.worst_class.accuracy)}" if arm.worst_class else "-"
            rows.append((arm.algorithm, arm.fill, f"equal {arm.budget}", *_spread(arm.clients), worst))
    head = ("algorithm", "fill", "budget", *_SPREAD, "worst class")
    return Table("accuracy over clients", head, tuple(rows))


def alone(summary: Summary) -> Table:
    """Return what clients reach alone, in percent, and how many a federation makes better off.

    A row for each fill, budget and algorithm of the federation. The distribution is of the accuracy on each client's
    own labels; ``whole test`` is the mean over clients of the accuracy on the whole test split.
    """
    rows = []
    for one in summary.alone:
        shown = (*_spread(one.own), _percent(one.whole.mean))
        for algorithm, better in one.better_off.items() or [("-", None)]:
            shares = (_percent(better.own), _percent(better.whole)) if better else ("-", "-")
            rows.append((one.fill, f"equal {one.budget}", *shown, algorithm, *shares))
    head = ("fill", "budget", *_SPREAD, "whole test", "federation", "better off, own labels", "better off, whole test")
    return Table("clients that train alone", head, tuple(rows))


def _spread(found: ClientSpread | None) -> tuple[str, ...]:
    if found is None:
        return ("-",) * len(_SPREAD)
    return tuple(map(_percent, (found.mean, found.deviation, found.worst_tenth, found.best_tenth, found.worst)))


def skew(summary: Summary) -> Table:
    """Return how skewed the clients' labels are with each fill, and in parentheses what IID clients would show."""
    return Table("", ("fill", *skews.HEAD), tuple((one.fill, *skews.cells(one)) for one in summary.skew))


def by_class(summary: Summary, arms: Sequence[ArmRuns], class_names: Sequence[str]) -> list[Table]:
    """Return accuracy by class in percent: a table for each algorithm and budget, a column for each fill.

    Of more than ``MOST_CLASSES`` classes, the ones that the compared fill (or, without it, the first) recognises worst.
    """
    tables = []
    for algorithm in dict.fromkeys(arm.algorithm for arm in arms):
        for budget in summary.budgets:
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
