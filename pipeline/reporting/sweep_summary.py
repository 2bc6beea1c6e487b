"""The numbers of a sweep: every fill at every setting, and its differences from controls, over partitions and seeds.

They are made of the sweep's table of results, a row for each cell, fill, algorithm, budget and training seed.
Replicates are (partition seed, training seed), and differences are paired by them.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa

from pipeline.reporting import verdict
from pipeline.reporting.kinds import Kind
from pipeline.reporting.skew import BEFORE
from pipeline.reporting.statistics import Difference, Estimate, Replicate, estimate, paired
from pipeline.reporting.summary import Rival, Verdict
from pipeline.reporting.sweep_rows import Row, read
from pipeline.reporting.sweep_targets import Reached, reached

Role = Literal["none", "best", "weakest", "other"]


@dataclass(frozen=True)
class FillResult:
    """The results of one fill at one setting."""

    fill: str
    kind: Kind
    central: bool
    """Whether its runs are central ones, which are compared with nothing."""
    primary: Estimate
    """Accuracy, mean over the last rounds of a run."""
    last: Estimate | None
    """Accuracy after the last round; None if the table has none."""
    averaged: Estimate | None
    """Accuracy of the averaged weights of the last rounds, likewise."""
    target: Reached | None
    """None if no run has a target."""
    values: Mapping[Replicate, float]
    """The primary number of each replicate."""
    numbers: Mapping[str, float]
    """The mean of every other number of the table over the replicates that have it, by column."""
    texts: Mapping[str, Mapping[str, int]]
    """Of every other text of the table, how many replicates have it, by column and text."""


@dataclass(frozen=True)
class Comparison:
    """How much the primary number of a fill is above a control's, paired by partition and training seed."""

    fill: str
    control: str
    algorithm: str
    """The control's."""
    budget: str
    """The control's."""
    role: Role
    """What the control is to the fill: no fill with the same algorithm; the best control of any algorithm, or the
    weakest; or another fill with the same algorithm."""
    difference: Difference
    unpaired: int
    """Replicates that only one of the two has; they are left out."""


@dataclass(frozen=True)
class Setting:
    """One point of the sweep's grid, with one algorithm and budget."""

    axes: Mapping[str, str]
    """The value of each axis, as text."""
    algorithm: str
    budget: str
    fills: tuple[FillResult, ...]
    comparisons: tuple[Comparison, ...]
    """Of each fill with no fill and the best control; of the compared fill with every other one, too."""
    verdict: Verdict | None
    """The compared fill beside the best and the weakest control; None without it or without a control."""
    sentence: str
    """The verdict in words; empty without one."""
    competed: frozenset[str] = frozenset()
    """The algorithms of the controls that the compared fill's best one is chosen from."""

    @property
    def title(self) -> str:
        """Return ``alpha 0.1, fedavg, equal steps``."""
        place = [f"{name} {value}" for name, value in self.axes.items()]
        return ", ".join([*place, self.algorithm, f"equal {self.budget}"])


@dataclass(frozen=True)
class SweepSummary:
    """All numbers of a sweep."""

    fill: str
    """The compared fill."""
    settings: tuple[Setting, ...]
    headline: str
    """What all settings of the first algorithm at equal work say together; empty if none has a verdict."""
    remarks: tuple[str, ...]
    """What was left out, and what weakens the numbers, one sentence each."""


def summarise(table: pa.Table, axes: Sequence[str], fill: str) -> SweepSummary:
    """Return the numbers of a sweep; ``axes`` are the columns of its grid, ``fill`` is the compared fill.

    Raises ArtifactError if the table lacks a column that the comparisons need.
    """
    rows, remarks = read(table, axes)
    points: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        points.setdefault(row.at, []).append(row)
    settings = [
        setting for at, found in points.items() for setting in _settings(dict(zip(axes, at, strict=True)), found, fill)
    ]
    return SweepSummary(fill, tuple(settings), _headline(settings, fill), (*remarks, *_remarks(settings)))


def _settings(axes: Mapping[str, str], rows: Sequence[Row], fill: str) -> Iterator[Setting]:
    """Yield the settings of one point: one for each algorithm and budget."""
    arms: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        arms.setdefault((row.algorithm, row.budget, row.fill), []).append(row)
    values = {key: {row.replicate: row.primary for row in found} for key, found in arms.items()}
    federated = {key: found for key, found in values.items() if not arms[key][0].central}
    controls = {key: _samples(arms[key]) for key in federated if arms[key][0].kind == "control"}
    for algorithm, budget in dict.fromkeys(key[:2] for key in arms):
        here = [key for key in arms if key[:2] == (algorithm, budget)]
        rivals = {key[2]: _rivals(key, _samples(arms[key]), controls, values) for key in here if key in federated}
        judged = _verdict((algorithm, budget, fill), rivals.get(fill, []))
        compared = [one for key in here if key in federated for one in _compare(key, rivals[key[2]], federated, fill)]
        yield Setting(
            axes=axes,
            algorithm=algorithm,
            budget=budget,
            fills=tuple(_result(arms[key]) for key in here),
            comparisons=tuple(compared),
            verdict=judged,
            sentence=verdict.sentence(judged) if judged else "",
            competed=frozenset(one.algorithm for one in rivals.get(fill, [])),
        )


Key = tuple[str, str, str]
"""Algorithm, budget, fill."""
Values = Mapping[Key, Mapping[Replicate, float]]


def _samples(rows: Sequence[Row]) -> float:
    """Return the samples that go through training in a round, mean over rows; NaN, which is never less, if unknown."""
    return float(np.mean([row.numbers.get("samples_per_round", np.nan) for row in rows]))


def _rivals(key: Key, samples: float, controls: Mapping[Key, float], values: Values) -> list[Rival]:
    """Return the controls, of any algorithm, that compete with a fill and share a replicate.

    ``samples`` and the values of ``controls`` are the samples of a round.
    """
    rivals = []
    for other, most in controls.items():
        common = values[key].keys() & values[other].keys()
        if other[2] != key[2] and common and verdict.competes(other[1], most, key[1], samples):
            accuracy = estimate({at: values[other][at] for at in common}).mean
            algorithm, budget, name = other
            rivals.append(Rival(algorithm, budget, name, accuracy, _difference(values[key], values[other])))
    return rivals


def _compare(key: Key, rivals: Sequence[Rival], values: Values, fill: str) -> Iterator[Comparison]:
    """Yield what a fill is compared with; a control that plays two roles is there twice."""
    algorithm, budget, name = key
    best, weakest = verdict.ends(budget, rivals) or (None, None)
    roles: list[tuple[Role, Rival | None]] = [("best", best), ("weakest", None if weakest is best else weakest)]
    for role, one in roles:
        if one is not None:
            lone = values[key].keys() ^ values[one.algorithm, one.budget, one.fill].keys()
            yield Comparison(name, one.fill, one.algorithm, one.budget, role, one.difference, len(lone))
    for other in (other for other in values if other[:2] == key[:2]):
        common, lone = values[key].keys() & values[other].keys(), values[key].keys() ^ values[other].keys()
        if common and other != key and (other[2] == BEFORE or name == fill):
            role = "none" if other[2] == BEFORE else "other"
            yield Comparison(
                name, other[2], algorithm, budget, role, _difference(values[key], values[other]), len(lone)
            )


def _difference(one: Mapping[Replicate, float], other: Mapping[Replicate, float]) -> Difference:
    return paired({at: one[at] - other[at] for at in one.keys() & other.keys()})


def _verdict(key: Key, rivals: Sequence[Rival]) -> Verdict | None:
    ends = verdict.ends(key[1], rivals)
    return Verdict(*key, *ends) if ends else None


def _result(rows: Sequence[Row]) -> FillResult:
    names = dict.fromkeys(name for row in rows for name in row.numbers)
    texts = dict.fromkeys(name for row in rows for name in row.texts)
    columns = {name: {row.replicate: row.numbers[name] for row in rows if name in row.numbers} for name in names}
    primary = {row.replicate: row.primary for row in rows}
    return FillResult(
        fill=rows[0].fill,
        kind=rows[0].kind,
        central=rows[0].central,
        primary=estimate(primary),
        last=estimate(columns["last"]) if "last" in columns else None,
        averaged=estimate(columns["averaged"]) if "averaged" in columns else None,
        target=reached(rows),
        values=primary,
        numbers={name: float(np.mean(list(found.values()))) for name, found in columns.items()},
        texts={name: Counter(row.texts[name] for row in rows if name in row.texts) for name in texts},
    )


def _headline(settings: Sequence[Setting], fill: str) -> str:
    """Return the verdict of the only setting, or how many settings of the first algorithm say what."""
    judged = [setting for setting in settings if setting.verdict]
    found = verdict.chosen([setting.verdict for setting in judged if setting.verdict])
    if found is None:
        return ""
    mine = [one for one in judged if (one.algorithm, one.budget) == (found.algorithm, found.budget)]
    if len(mine) == 1:
        return mine[0].sentence
    gaps = [(one.verdict.best.difference, one) for one in mine if one.verdict]
    above = sum(gap.clear and gap.mean > 0 for gap, _ in gaps)
    below = sum(gap.clear and gap.mean < 0 for gap, _ in gaps)
    text = (
        f"With {found.algorithm} at equal {found.budget}, {fill} is clearly above the best control in {above} of "
        f"{len(gaps)} settings, clearly below it in {below}, and not clearly different in {len(gaps) - above - below}"
    )
    least, most = (choose(gaps, key=lambda pair: pair[0].mean) for choose in (min, max))
    for name, (gap, setting) in (("least", least), ("greatest", most)):
        where = ", ".join(f"{axis} {value}" for axis, value in setting.axes.items())
        text += f"; the {name} difference is {100 * gap.mean:+.1f} points ({where}; {verdict.evidence(gap)})"
    return f"{text}."


def _remarks(settings: Sequence[Setting]) -> Iterator[str]:
    """Say which arms lack replicates that others of their setting have, what competed, and how many tests there are."""
    for setting in settings:
        everyone = set().union(*(one.values for one in setting.fills))
        for one in setting.fills:
            if len(one.values) < len(everyone):
                what = (
                    f"{one.fill} has {len(one.values)} of {len(everyone)} replicates; differences pair what both have"
                )
                yield f"{setting.title}: {what}"
    central = dict.fromkeys(one.fill for setting in settings for one in setting.fills if one.central)
    if central:
        yield f"{', '.join(central)}: trained centrally, with other work than any budget; shown, and compared with none"
    competed = {rival for setting in settings for rival in setting.competed}
    if len(competed) == 1:
        name = competed.pop()
        yield f"the best control is the best of {name} only: no control was trained with another algorithm"
    found = _tests(settings)
    few = [gap for gap in found if verdict.doubts(gap)]
    if few:
        yield f"{len(few)} of {len(found)} differences are no claims: {verdict.doubts(few[0])}"
    tested = len(found) - len(few)
    if tested > 1:
        yield f"{tested} differences are tested, each at p < .05 by itself: p is not corrected for their number"


def _tests(settings: Sequence[Setting]) -> list[Difference]:
    """Return every difference once, whichever roles its control plays, and whichever of the two comes first."""
    found: dict[tuple[object, ...], Difference] = {}
    for setting in settings:
        for one in setting.comparisons:
            mine, other = (setting.algorithm, setting.budget, one.fill), (one.algorithm, one.budget, one.control)
            found.setdefault((*setting.axes.values(), frozenset({mine, other})), one.difference)
    return list(found.values())
