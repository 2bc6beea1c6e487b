"""The cells of a sweep: every combination of its axes' values, each with parameters of its own and an identity."""

import hashlib
import itertools
import json
import math
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pipeline import fills, params, yaml_file
from pipeline.errors import ParameterError
from pipeline.federated import algorithms
from pipeline.params import Params
from pipeline.sweeps.definition import INNER, Settings, Sweep

MOST = 10_000
"""Cells of a sweep."""
_SEEDS = {"seed", "partition.seed"}
_IMAGES = ("seed", "data", "partition", "deficits", "generate")
"""What decides which images a cell has."""


@dataclass(frozen=True)
class Cell:
    """One point of the grid."""

    labels: Mapping[str, str]
    """The text of its value on each axis."""
    params: Params
    evaluate: bool

    @cached_property
    def _decisive(self) -> dict[str, Any]:
        """All parameters that decide results but those at their defaults, so that a new one changes no identity."""
        without = {"report", "network"} if self.evaluate else {"report", "network", "evaluate"}
        return self.params.model_dump(mode="json", exclude=without, exclude_defaults=True)

    @cached_property
    def digest(self) -> str:
        """What the cell is known by: all parameters that decide its results but the lists that it trains, 12 digits.

        So a cell to which a fill or a training seed is added keeps its number, and trains only that.
        """
        inner = {key.removeprefix("train.") for key in INNER}
        train = {key: value for key, value in self._decisive["train"].items() if key not in inner}
        return _digest({**self._decisive, "train": train})

    @cached_property
    def whole(self) -> str:
        """The digest of all that decides what is kept of a finished cell; with another one it is carried out again."""
        return _digest([self._decisive, self.params.report.target_accuracy, self.evaluate])

    @cached_property
    def images(self) -> str:
        """The digest of what decides which images the cell has, so cells of equal ones come one after the other."""
        return _digest({name: self._decisive[name] for name in _IMAGES})

    @property
    def partition_seed(self) -> int:
        return self.params.partition.seed_under(self.params.seed)

    @property
    def title(self) -> str:
        """The cell for readers: its values on the axes."""
        return ", ".join(f"{name} {text}" for name, text in self.labels.items())


def _digest(described: object) -> str:
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:12]


def cells(sweep: Sweep, base: Path) -> list[Cell]:
    """Return the cells in the order of the file, the last axis changing fastest.

    ``base`` is the params.yaml that they differ from. Raises ParameterError with the file, the key and the cell at
    fault: for an unknown key, a bad value, an unknown fill or algorithm, and two cells that are equal.
    """
    count = math.prod(len(axis.values) for axis in sweep.axes)
    if count > MOST:
        raise ParameterError(f"{count:,} cells, at most {MOST:,}", f"{sweep.path}, axes", "leave values out")
    params.load(base)
    document = yaml_file.load(base)
    made = list(_made(sweep, document))
    known: dict[str, Cell] = {}
    for cell in made:
        if (other := known.setdefault(cell.digest, cell)) is not cell:
            where = f"{sweep.path}, axes: {other.title}; {cell.title}"
            raise ParameterError("two cells have the same parameters", where, "leave one of the values out")
    _check_replicates(sweep, made)
    return made


def _check_replicates(sweep: Sweep, made: list[Cell]) -> None:
    """Raise ParameterError if two cells differ in ``partition.seed`` only, and nothing of their partition is drawn."""
    known: dict[str, Cell] = {}
    for cell in made:
        given = cell.params.partition
        if given.scheme in ("column", "assignment") and given.max_images is None:
            partition = given.model_copy(update={"seed": None})
            same = Cell(cell.labels, cell.params.model_copy(update={"partition": partition}), cell.evaluate)
            if known.setdefault(same.digest, cell) is not cell:
                what = f"partition.seed changes no partition: scheme {given.scheme} draws nothing"
                where = f"{sweep.path}, axes (cell: {cell.title})"
                fix = "leave partition.seed out and list train.seeds under set, or set partition.max_images"
                raise ParameterError(what, where, fix)


def _made(sweep: Sweep, document: Mapping[str, Any]) -> Iterator[Cell]:
    for values in itertools.product(*(axis.values for axis in sweep.axes)):
        labels = {axis.name: text for axis, text in zip(sweep.axes, values, strict=True)}
        whole = deepcopy(dict(document))
        _apply(whole, sweep.common, f"{sweep.path}, set")
        for axis in sweep.axes:
            _apply(whole, axis.values[labels[axis.name]], f"{sweep.path}, axes.{axis.name}")
        try:
            read = params.check(whole, sweep.path)
            for chosen, key in ((read.train.fills, "fills"), (read.train.references, "references")):
                fills.check(chosen, f"{sweep.path}, train.{key}")
            for chosen, key in ((read.train.algorithms, "algorithms"), (tuple(read.train.options), "options")):
                algorithms.check(chosen, f"{sweep.path}, train.{key}")
        except ParameterError as error:
            title = ", ".join(f"{name} {text}" for name, text in labels.items())
            raise ParameterError(error.what, f"{error.where} (cell: {title})", error.fix) from None
        yield Cell(labels, read, sweep.evaluate)


def _apply(document: dict[str, Any], settings: Settings, where: str) -> None:
    """Put values at their dotted keys; whether a key is a parameter is checked later."""
    for key, value in settings.items():
        *parents, last = key.split(".")
        section: Any = document
        for depth, name in enumerate(parents):
            section = section.setdefault(name, {})
            if not isinstance(section, dict):
                above = ".".join(parents[: depth + 1])
                fix = f"set {above} itself, or check the key"
                raise ParameterError(f"{above} is {section!r} and has no keys", f"{where}, {key}", fix)
        if not parents and isinstance(section.get(last), dict):
            raise ParameterError(f"{last} is a whole section", f"{where}, {key}", f"set its keys, as in {last}.KEY")
        section[last] = deepcopy(value)


def shown_axes(sweep: Sweep, made: list[Cell]) -> dict[str, list[str]]:
    """Return the axes under study and their values; an axis of nothing but other partitions is one of replicates."""
    found = {}
    for axis in sweep.axes:
        keys = {key for settings in axis.values.values() for key in settings}
        partitions = {(cell.labels[axis.name], cell.partition_seed) for cell in made}
        replicates = keys <= _SEEDS and len({seed for _, seed in partitions}) == len(partitions)
        if not replicates:
            found[axis.name] = list(axis.values)
    return found


def in_order(made: list[Cell]) -> list[Cell]:
    """Return cells so that those which share a partition, then those which share images, follow each other.

    Replicates come last, so that a sweep which is stopped early has every setting at some partitions.
    """
    first: dict[str, int] = {}
    for place, cell in enumerate(made):
        first.setdefault(cell.images, place)
    seeds = {seed: rank for rank, seed in enumerate(dict.fromkeys(cell.partition_seed for cell in made))}
    return sorted(made, key=lambda cell: (seeds[cell.partition_seed], first[cell.images]))
