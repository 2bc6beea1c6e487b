"""The numbers of a report as typed values, and the file that keeps them.

The file, data/report.json, is nested objects, since ``dvc metrics`` reads numbers from objects and ignores lists::

    {"manifest": SHA256, "fill": COMPARED_FILL, "last_rounds": 10,
     "fills":       {FILL: {"kind": "control", "image_megabytes": 0.0}},
     "arms":        {ALGORITHM: {BUDGET: {FILL: {"primary": {"mean": 0.6, "low": 0.57, "high": 0.63, ...}, ...}}}},
     "comparisons": {ALGORITHM: {BUDGET: {FILL: {CONTROL: {"difference": {...}, "by_seed": {...}}}}}},
     "verdicts":    {ALGORITHM: {BUDGET: {FILL: {"best": {...}, "weakest": {...}}}}},
     "references":  {FILL: {"accuracy": {...}, "by_seed": {...}, "megabytes": 5.0}},
     "alone":       {BUDGET: {FILL: {"own": {...}, "whole": {...}, "better_off": {ALGORITHM: {...}}}}},
     "skew":        {FILL: {"clients": {"hellinger": 0.7, ...}, "iid": {"hellinger": 0.05, ...}}},
     "network":     {PROFILE: {ALGORITHM: {BUDGET: {FILL: {"hours": {"median": 2.1, "low": 1.2, ...}, ...}}}}},
     "within_bytes": {ALGORITHM: {BUDGET: {FILL: {"megabytes": 74.4, "accuracy": {"median": 0.6, ...}}}}},
     "break_even":  {ALGORITHM: {BUDGET: {FILL: {"control": "none", "ways": [...], ...}}}},
     "remarks":     [TEXT, ...]}

Names of algorithms, budgets and fills are only ever keys below these fixed sections, so none is reserved. Accuracies
are shares of 1. A report has one partition, so every interval is Student's t over seeds, and no difference has a p.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError

from pipeline import atomic
from pipeline.errors import ArtifactError
from pipeline.reporting.kinds import Fill
from pipeline.reporting.measures import ClientSpread
from pipeline.reporting.network.results import BreakEven, OnNetwork, WithinBytes
from pipeline.reporting.skew import FillSkew
from pipeline.reporting.statistics import Difference, Estimate

_STRICT = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)
_ARM = ("algorithm", "budget", "fill")
_KEYS = {
    "fills": ("fill",),
    "arms": _ARM,
    "comparisons": (*_ARM, "control"),
    "verdicts": _ARM,
    "references": ("fill",),
    "alone": ("budget", "fill"),
    "skew": ("fill",),
    "network": ("profile", *_ARM),
    "within_bytes": _ARM,
    "break_even": _ARM,
}
"""The fields that are keys in the file, from the outermost inwards."""
_REDO = "run: dvc repro -f report"


@dataclass(frozen=True)
class ClassAccuracy:
    """Accuracy on the test images of one class, mean over the last rounds and over seeds."""

    __pydantic_config__ = _STRICT

    name: str
    accuracy: float


@dataclass(frozen=True)
class Target:
    """When the runs of an arm reach a target accuracy: two tests in a row at or above it, of which the first counts."""

    __pydantic_config__ = _STRICT

    accuracy: float
    """The primary number of the arm without a fill of the same algorithm and budget, or what params.yaml says."""
    seeds: int
    """How many seeds reach it."""
    rounds: float | None
    """Mean over the seeds that reach it; None if none does."""
    megabytes: float | None
    """Moved by then, all clients, both ways, without images; mean over the seeds that reach it."""
    censored_at: int | None
    """The first round at which a run ended that had not reached it; None if every seed reaches it."""


@dataclass(frozen=True)
class Arm:
    """The results of one algorithm, budget and fill over its seeds."""

    __pydantic_config__ = _STRICT

    algorithm: str
    budget: str
    fill: str
    primary: Estimate
    """The primary number: accuracy, mean over the last rounds of a run."""
    last: Estimate
    """Accuracy after the last round."""
    averaged: Estimate | None
    """Accuracy of the average of the last rounds' global weights; None if no seed tested it."""
    by_seed: dict[int, float]
    """The primary number of each seed."""
    samples_per_round: float
    """Images that go through local training, all clients together, mean over rounds and seeds."""
    steps_per_round: float
    """Local steps, likewise."""
    target: Target | None
    """None if no target is set and no arm without a fill was trained."""
    clients: ClientSpread | None
    """Mean over seeds of each number of the distribution; None if no accuracy by class was measured."""
    worst_class: ClassAccuracy | None


@dataclass(frozen=True)
class Comparison:
    """How much the primary number of a fill is above another's of the same algorithm and budget, seed by seed."""

    __pydantic_config__ = _STRICT

    algorithm: str
    budget: str
    fill: str
    control: str
    difference: Difference
    by_seed: dict[int, float]
    """The difference of each paired seed."""
    averaged: Difference | None = None
    """The same for the average of the last rounds' global weights; None if no seed tested it with both fills."""


@dataclass(frozen=True)
class Rival:
    """A control, with any algorithm, and how much the compared fill is above it."""

    __pydantic_config__ = _STRICT

    algorithm: str
    budget: str
    """Of a control that does at most as much local work as the fill, another one than the fill's is possible."""
    fill: str
    accuracy: float
    """Its primary number, mean over its seeds."""
    difference: Difference


@dataclass(frozen=True)
class Verdict:
    """The compared fill beside the best and the weakest control: no control uses a synthetic image or a bound's.

    At equal work, the best one may be of another budget, if it does at most as much local work: more is not always
    better. The weakest one is of the same budget.
    """

    __pydantic_config__ = _STRICT

    algorithm: str
    budget: str
    fill: str
    best: Rival
    """The control with the highest mean. It is chosen by the same runs, which favours the control, not the fill."""
    weakest: Rival


@dataclass(frozen=True)
class Reference:
    """A central run: one model, trained in one place and sent to every client once."""

    __pydantic_config__ = _STRICT

    fill: str
    accuracy: Estimate
    """After its last step."""
    by_seed: dict[int, float]
    megabytes: float
    """The trained weights, sent once to each client."""


@dataclass(frozen=True)
class BetterOff:
    """Shares of the clients that a federation makes more accurate than training alone does, mean over seeds."""

    __pydantic_config__ = _STRICT

    own: float | None
    """By the accuracy on the test images weighted by the client's own labels; None if no client has one."""
    whole: float
    """By the accuracy on the whole test split."""


@dataclass(frozen=True)
class Alone:
    """Every client trained alone with one fill, with the steps of all rounds; distributions are means over seeds."""

    __pydantic_config__ = _STRICT

    budget: str
    fill: str
    seeds: int
    own: ClientSpread | None
    """Accuracy on the test images of each class, weighted by the client's own real labels."""
    whole: ClientSpread
    """Accuracy on the whole test split."""
    better_off: dict[str, BetterOff]
    """By algorithm, compared with the federation of the same fill, budget and seeds."""


@dataclass(frozen=True)
class Summary:
    """All numbers of a report."""

    __pydantic_config__ = _STRICT

    manifest: str
    """SHA-256 of the manifest of the synthetic images."""
    fill: str
    """The fill whose differences from the others are reported."""
    last_rounds: int
    """How many rounds at a run's end the primary number is the mean over."""
    fills: tuple[Fill, ...]
    """Of all arms and references."""
    arms: tuple[Arm, ...]
    comparisons: tuple[Comparison, ...]
    verdicts: tuple[Verdict, ...]
    references: tuple[Reference, ...]
    remarks: tuple[str, ...]
    """What was left out or should be known before the numbers are used, one sentence each."""
    alone: tuple[Alone, ...] = ()
    skew: tuple[FillSkew, ...] = ()
    """Of the real images, which is the fill none, and of every fill that changes what clients hold."""
    network: tuple[OnNetwork, ...] = ()
    within_bytes: tuple[WithinBytes, ...] = ()
    break_even: tuple[BreakEven, ...] = ()
    """Of the compared fill."""

    @property
    def budgets(self) -> list[str]:
        """The budgets of all arms, in the order of the arms."""
        return list(dict.fromkeys(arm.budget for arm in self.arms))


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
