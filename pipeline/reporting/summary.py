"""The numbers of a report as typed values, the file that keeps them, and the result tables made of them.

The file, data/report.json, is nested objects, since ``dvc metrics`` reads numbers from objects and ignores lists::

    {"target_accuracy": 0.65, "manifest": SHA256, "fill": COMPARED_FILL,
     "arms":        {ALGORITHM: {BUDGET: {FILL: {"final": {"mean": 0.6, "half_width": 0.03}, ...}}}},
     "comparisons": {ALGORITHM: {BUDGET: {FILL: {CONTROL: {"difference": {...}, "by_seed": {...}}}}}},
     "references":  {FILL: {"final": {...}, "final_by_seed": {...}}},
     "skew":        {FILL: {"clients": {"hellinger": 0.7, ...}, "iid": {"hellinger": 0.05, ...}}},
     "remarks":     [TEXT, ...]}

Names of algorithms, budgets and fills are only ever keys below these fixed sections, so none is reserved.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError

from pipeline import atomic
from pipeline.errors import ArtifactError
from pipeline.reporting.interval import Interval
from pipeline.reporting.skew import FillSkew

_STRICT = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)
_KEYS = {
    "arms": ("algorithm", "budget", "fill"),
    "comparisons": ("algorithm", "budget", "fill", "control"),
    "references": ("fill",),
    "skew": ("fill",),
}
"""The fields that are keys in the file, from the outermost inwards."""
_REDO = "run: dvc repro -f report"


@dataclass(frozen=True)
class Spread:
    """Accuracy over clients after the last round, mean over seeds."""

    __pydantic_config__ = _STRICT

    least: float
    median: float
    greatest: float


@dataclass(frozen=True)
class ClassAccuracy:
    """Accuracy on the test images of one class after the last round, mean over seeds."""

    __pydantic_config__ = _STRICT

    name: str
    accuracy: float


@dataclass(frozen=True)
class Arm:
    """The results of one algorithm, budget and fill over its seeds; accuracies are between 0 and 1."""

    __pydantic_config__ = _STRICT

    algorithm: str
    budget: str
    fill: str
    final: Interval
    """Accuracy after the last round."""
    best: Interval
    """Greatest accuracy of any tested round; chosen on the test images, so an optimistic number."""
    final_by_seed: dict[int, float]
    steps_per_round: float
    """Local steps of all clients together, mean over rounds and seeds."""
    seeds_at_target: int
    """How many seeds reach the target accuracy."""
    rounds_to_target: float | None
    """Mean over the seeds that reach it; None if none does."""
    megabytes_to_target: float | None
    """Moved by then, all clients, both ways; mean over the seeds that reach it."""
    clients: Spread | None
    """None if no accuracy by class was measured."""
    worst_class: ClassAccuracy | None


@dataclass(frozen=True)
class Comparison:
    """How much the fill is above a control after the last round; equal seeds have equal starts."""

    __pydantic_config__ = _STRICT

    algorithm: str
    budget: str
    fill: str
    control: str
    difference: Interval
    by_seed: dict[int, float]
    """The difference of each paired seed."""


@dataclass(frozen=True)
class Reference:
    """The accuracy of a central run after its last step."""

    __pydantic_config__ = _STRICT

    fill: str
    final: Interval
    final_by_seed: dict[int, float]


@dataclass(frozen=True)
class Summary:
    """All numbers of a report."""

    __pydantic_config__ = _STRICT

    target_accuracy: float
    manifest: str
    """SHA-256 of the manifest of the synthetic images."""
    fill: str
    """The fill whose differences from the others are reported."""
    arms: tuple[Arm, ...]
    comparisons: tuple[Comparison, ...]
    references: tuple[Reference, ...]
    remarks: tuple[str, ...]
    """What was left out or should be known before the numbers are used, one sentence each."""
    skew: tuple[FillSkew, ...] = ()
    """Of the real images, which is the fill none, and of every fill that changes what clients hold."""


def save(path: Path, summary: Summary) -> None:
    """Write the numbers as described above."""
    document = asdict(summary)
    for section, keys in _KEYS.items():
        document[section] = _nest(document[section], keys)
    atomic.write_text(path, json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def load(path: Path) -> Summary:
    """Read the last report's numbers; raise ArtifactError if there are none or they are damaged."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        flat = {name: list(_flatten(document[name], keys)) for name, keys in _KEYS.items()}
        return TypeAdapter(Summary).validate_json(json.dumps({**document, **flat}))
    except FileNotFoundError:
        raise ArtifactError("no report yet", path, "run: dvc repro") from None
    except ValidationError as error:
        first = error.errors()[0]
        what = ": ".join([".".join(map(str, first["loc"])), first["msg"]])
        raise ArtifactError(f"damaged ({what})", path, _REDO) from None
    except (ValueError, KeyError, TypeError) as error:
        raise ArtifactError(f"damaged ({error!r})", path, _REDO) from None


def _nest(values: Sequence[dict[str, Any]], keys: Sequence[str]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for value in values:
        place = nested
        for key in keys[:-1]:
            place = place.setdefault(value[key], {})
        place[value[keys[-1]]] = {name: part for name, part in value.items() if name not in keys}
    return nested


def _flatten(nested: Any, keys: Sequence[str]) -> Iterator[dict[str, Any]]:
    if not isinstance(nested, dict):
        raise TypeError(f"{nested!r:.40} is not an object")
    if not keys:
        yield nested
        return
    for name, inner in nested.items():
        for value in _flatten(inner, keys[1:]):
            if keys[0] in value:
                raise ValueError(f"{keys[0]!r} is a key already")
            yield {keys[0]: name, **value}


@dataclass(frozen=True)
class Table:
    """A titled table of text; the first column names the row."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    differences: int = 0
    """How many of the last rows are differences of two others."""


def budgets(summary: Summary) -> list[str]:
    """Return the budgets of all arms, in the order of the arms."""
    return list(dict.fromkeys(arm.budget for arm in summary.arms))


def result_tables(summary: Summary) -> list[Table]:
    """Return accuracies and differences after the last round, in percent: a table an algorithm, then the references."""
    columns, tables = budgets(summary), []
    for algorithm in dict.fromkeys(arm.algorithm for arm in summary.arms):
        finals: dict[str, dict[str, str]] = {}
        for arm in summary.arms:
            if arm.algorithm == algorithm:
                finals.setdefault(arm.fill, {})[arm.budget] = arm.final.percent()
        gains: dict[str, dict[str, str]] = {}
        for one in summary.comparisons:
            if one.algorithm == algorithm:
                name = f"{one.fill} - {one.control}"
                gains.setdefault(name, {})[one.budget] = one.difference.percent(signed=True)
        rows = [*_rows(finals, columns), *_rows(gains, columns)]
        tables.append(Table(algorithm, ("fill", *(f"equal {name}" for name in columns)), tuple(rows), len(gains)))
    if summary.references:
        rows = [(one.fill, one.final.percent()) for one in summary.references]
        tables.append(Table("central runs, for reference", ("fill", "accuracy"), tuple(rows)))
    return tables


def _rows(cells: Mapping[str, Mapping[str, str]], columns: Sequence[str]) -> list[tuple[str, ...]]:
    return [(name, *(by_budget.get(budget, "-") for budget in columns)) for name, by_budget in cells.items()]
