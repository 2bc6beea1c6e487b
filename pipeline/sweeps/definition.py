"""The file of a sweep: what it is about, what all cells have, and the axes along which they differ."""

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline import yaml_file
from pipeline.errors import ParameterError
from pipeline.sweeps import columns

FOLDER = "sweeps"
"""Where a project has its sweep files."""
INNER = ("train.fills", "train.references", "train.algorithms", "train.seeds", "train.alone")
"""Lists whose entries are trained within each cell, so that they make no cells."""
KEEP = ("results", "all")
_KEYS = ("about", "set", "axes", "keep", "evaluate")
_FIX = "see docs/sweeps.md"
_MOST_LABEL = 60

Settings = Mapping[str, Any]
"""Values by dotted key."""


@dataclass(frozen=True)
class Axis:
    """One direction of the grid."""

    name: str
    values: Mapping[str, Settings]
    """What each value sets, by its text, in the order of the file."""


@dataclass(frozen=True)
class Sweep:
    """What a sweep file says."""

    name: str
    path: Path
    about: str
    common: Settings
    """What all cells have in place of what params.yaml has."""
    axes: tuple[Axis, ...]
    keep: str = "results"
    """What stays of a finished cell: ``results``, or ``all`` with its shards, arrays and weights."""
    evaluate: bool = False
    """Whether the images of each cell are evaluated too."""


def find(project: Path, chosen: str) -> Path:
    """Return the sweep file that a path or a name stands for; raise ParameterError if there is none."""
    known = sorted(path.stem for path in (project / FOLDER).glob("*.yaml"))
    if chosen in known:
        return project / FOLDER / f"{chosen}.yaml"
    path = project / chosen
    if path.suffix in (".yaml", ".yml") and path.is_file():
        return path
    close = difflib.get_close_matches(chosen, known, n=1)
    names = f"{FOLDER}/ has {', '.join(known)}" if known else f"there is none in {FOLDER}/"
    fix = f"did you mean {close[0]!r}?" if close else f"name a sweep or a YAML file; {names}"
    raise ParameterError(f"no sweep {chosen!r}", project / FOLDER, fix)


def load(path: Path) -> Sweep:
    """Read a sweep file; raise ParameterError with the file and the key at fault.

    Whether the keys and values are ones of params.yaml is known when the cells are made.
    """
    document = yaml_file.load(path)
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", path.stem):
        raise ParameterError(f"not a name of a sweep {path.stem!r}", path, "use small letters, digits and dashes")
    if not isinstance(document, dict):
        raise ParameterError("not a sweep", path, f"write about, set and axes; {_FIX}")
    for key in document:
        if key not in _KEYS:
            raise ParameterError("unknown key", f"{path}, {key}", _near(str(key)))
    common = _settings(document.get("set") or {}, f"{path}, set")
    return Sweep(
        name=path.stem,
        path=path,
        about=_one_of(document, "about", str, path),
        common=common,
        axes=_axes(document, common, path),
        keep=_keep(document.get("keep", "results"), path),
        evaluate=_one_of({"evaluate": False, **document}, "evaluate", bool, path),
    )


def _one_of(document: Mapping[Any, Any], key: str, kind: type, path: Path) -> Any:
    if not isinstance(document.get(key), kind):
        words = {str: "write in one sentence what is studied", bool: "write true or false"}
        raise ParameterError(f"no {key}" if key not in document else "bad value", f"{path}, {key}", words[kind])
    return document[key]


def _keep(given: object, path: Path) -> str:
    if given not in KEEP:
        raise ParameterError("bad value", f"{path}, keep", f"write one of {', '.join(KEEP)}")
    return str(given)


def _axes(document: Mapping[Any, Any], common: Settings, path: Path) -> tuple[Axis, ...]:
    given = document.get("axes")
    if not isinstance(given, dict) or not given:
        raise ParameterError("no axes", f"{path}, axes", f"write {{key: [values]}}; {_FIX}")
    axes = tuple(_axis(name, values, f"{path}, axes.{name}") for name, values in given.items())
    owner = dict.fromkeys(common, "set")
    for axis in axes:
        for key in sorted({key for settings in axis.values.values() for key in settings}):
            if key in owner:
                where = f"{path}, axes.{axis.name}"
                raise ParameterError(f"{key} is set by {owner[key]} too", where, "set it in one place")
            owner[key] = f"axes.{axis.name}"
    return axes


def _axis(name: object, given: object, where: str) -> Axis:
    if not isinstance(name, str) or not re.fullmatch(r"[a-zA-Z][a-zA-Z0-9_.-]*", name):
        raise ParameterError("not a name of an axis", where, "use letters, digits, dots, dashes and underscores")
    if name in columns.NAMES:
        raise ParameterError("the table of results has a column of this name", where, "call the axis otherwise")
    if isinstance(given, dict) and given:
        return Axis(name, {_label(label, where): _settings(made, f"{where}.{label}") for label, made in given.items()})
    if not isinstance(given, list) or not given:
        raise ParameterError("bad value", where, "write [values], or {label: {key: value}}")
    _check_key(name, where)
    values: dict[str, Settings] = {}
    for value in given:
        if columns.text(value) in values:
            raise ParameterError(f"twice the value {columns.text(value)}", where, "write each one once")
        values[columns.text(value)] = {name: value}
    return Axis(name, values)


def _label(label: object, where: str) -> str:
    text = columns.text(label)
    if not text or len(text) > _MOST_LABEL or not text.isprintable():
        raise ParameterError("not a label", where, f"write a text of at most {_MOST_LABEL} characters")
    return text


def _settings(given: object, where: str) -> Settings:
    if not isinstance(given, dict):
        raise ParameterError("bad value", where, "write {key: value}, such as {partition.alpha: 0.1}")
    for key in given:
        if not isinstance(key, str):
            raise ParameterError(f"not a key {columns.text(key)}", where, "write such as partition.alpha")
        if where.endswith(", set"):
            continue
        _check_key(key, where)
    return given


def _check_key(key: str, where: str) -> None:
    if key in INNER:
        fix = f"put the whole list under set: each cell trains all of {key}"
        raise ParameterError(f"{key} makes no cells", where, fix)
    if key.startswith(("report.", "network.")):
        raise ParameterError(f"{key} changes no result of a cell", where, "put it under set, or leave it out")


def _near(key: str) -> str:
    close = difflib.get_close_matches(key, _KEYS, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else f"valid here: {', '.join(_KEYS)}"
