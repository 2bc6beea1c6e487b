"""The rows of a sweep's table of results, checked."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast, get_args

import pyarrow as pa

from pipeline.errors import ArtifactError
from pipeline.reporting.kinds import Kind
from pipeline.reporting.statistics import Replicate

NEEDED = ("partition_seed", "train_seed", "fill", "algorithm", "budget", "kind", "primary")
_STRONGEST: tuple[Kind, ...] = ("bound", "synthetic", "control")
_TEXT = ("sweep", "cell", "digest", "partition_digest", *NEEDED)


@dataclass(frozen=True)
class Row:
    """One run of a sweep."""

    at: tuple[str, ...]
    """The value of each axis, as text."""
    replicate: Replicate
    fill: str
    algorithm: str
    budget: str
    kind: Kind
    """What the fill is in any run of the sweep: a bound before synthetic before a control."""
    central: bool
    """Whether it is a central run, whose work no budget of the federated ones equals."""
    primary: float
    numbers: Mapping[str, float]
    """Every other finite number of the row, by column."""
    texts: Mapping[str, str]
    """Every other text of the row, by column."""


def read(table: pa.Table, axes: Sequence[str]) -> tuple[list[Row], list[str]]:
    """Return the rows that have a result, each replicate once, and what was left out, one sentence each.

    Raises ArtifactError if a column is missing, or a kind is none.
    """
    lacking = [name for name in (*NEEDED, *axes) if name not in table.column_names]
    if lacking:
        raise ArtifactError(
            f"lacks the columns {', '.join(lacking)}", "the sweep's results", "run: gen-fedsd sweep run"
        )
    rows: dict[tuple[object, ...], Row] = {}
    lines = table.to_pylist()
    first, empty, again, equal = least_seeds(lines, axes), 0, 0, 0
    for line in lines:
        if not _finite(line["primary"]):
            empty += 1
            continue
        unit = partition_of(line, axes)
        if first[*unit, line["train_seed"]] != line["partition_seed"]:
            equal += 1
            continue
        row = _row(line, axes, first[unit])
        key = (row.at, row.replicate, row.fill, row.algorithm, row.budget)
        again += key in rows
        rows.setdefault(key, row)
    remarks = [f"{empty} runs without an accuracy are left out"] if empty else []
    if again:
        remarks.append(f"{again} runs repeat a replicate of their setting and are left out")
    if equal:
        remarks.append(
            f"{equal} runs are left out: another partition seed gave their setting a partition that it has already, "
            "which counts once"
        )
    return _with_kinds(list(rows.values())), remarks


def _with_kinds(rows: Sequence[Row]) -> list[Row]:
    """Return rows with one kind for each fill: where no client lacks an image, even the synthetic fill adds none."""
    kinds: dict[str, set[Kind]] = {}
    for row in rows:
        kinds.setdefault(row.fill, set()).add(row.kind)
    merged = {fill: next(kind for kind in _STRONGEST if kind in found) for fill, found in kinds.items()}
    return [replace(row, kind=merged[row.fill]) for row in rows]


def partition_of(line: Mapping[str, Any], axes: Sequence[str]) -> tuple[object, ...]:
    """Return what is one partition of a setting; where no digest is known, its seed stands for it."""
    return *(line[name] for name in axes), line.get("partition_digest") or line["partition_seed"]


def least_seeds(lines: Sequence[Mapping[str, Any]], axes: Sequence[str]) -> dict[tuple[object, ...], int]:
    """Return the least seed of each partition, and of each partition with each training seed.

    The former names the partition, the latter's rows count; so the order of rows decides nothing.
    """
    found: dict[tuple[object, ...], int] = {}
    for line in lines:
        unit = partition_of(line, axes)
        for key in (unit, (*unit, line["train_seed"])):
            found[key] = min(found.get(key, line["partition_seed"]), line["partition_seed"])
    return found


def _row(line: Mapping[str, Any], axes: Sequence[str], partition: int) -> Row:
    if line["kind"] not in get_args(Kind):
        what = f"kind {line['kind']!r} of the fill {line['fill']!r}"
        raise ArtifactError(what, "the sweep's results", "run: gen-fedsd sweep run")
    others = {name: value for name, value in line.items() if name not in (*_TEXT, *axes)}
    return Row(
        at=tuple("" if line[name] is None else str(line[name]) for name in axes),
        replicate=(partition, int(line["train_seed"])),
        fill=line["fill"],
        algorithm=line["algorithm"],
        budget=line["budget"],
        kind=cast(Kind, line["kind"]),
        central=bool(line.get("central")),
        primary=float(line["primary"]),
        numbers={name: float(value) for name, value in others.items() if _finite(value)},
        texts={name: value for name, value in others.items() if isinstance(value, str)},
    )


def _finite(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
