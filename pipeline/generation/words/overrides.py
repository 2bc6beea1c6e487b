"""The words that a user gives classes: ``generate.class_overrides``, in params.yaml or in a file."""

import csv
import io
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pipeline import printable, yaml_file
from pipeline.errors import ParameterError
from pipeline.params import GenerateParams
from pipeline.values import overrides
from pipeline.workspace import Workspace

WHERE = "params.yaml, generate.class_overrides"
_HEAD = ["class name", "words"]  # as in the deficits table


def read(workspace: Workspace, params: GenerateParams) -> dict[str, str]:
    """Return the words by class name; raise ParameterError for a file that is not such a mapping."""
    given = params.class_overrides
    if isinstance(given, dict):
        return given
    path = workspace.at(given)
    try:
        found = overrides(_parsed(path))
    except OSError:
        raise ParameterError("no such file", f"{WHERE} = {given!r}", "write its path, or {class name: words}") from None
    except (ValueError, RecursionError, csv.Error) as error:
        raise ParameterError(f"not a mapping of class names to words ({error})", path, "correct the file") from None
    if isinstance(found, str):
        raise ParameterError(
            "not a mapping of class names to words", path, "write one line for each: class name: words"
        )
    return found


def _parsed(path: Path) -> Any:
    """Return what a file says: CSV and JSON by their names, YAML otherwise; an empty YAML file has no words."""
    text = path.read_bytes().decode("utf-8-sig")  # line ends in quotes as they are
    if path.suffix == ".json":
        return json.loads(text, object_pairs_hook=_once)
    if path.suffix == ".csv":
        reader = csv.reader(io.StringIO(text, newline=""), strict=True)
        rows = [[printable.from_csv_cell(cell) for cell in row] for row in reader if row]
        if bad := [row for row in rows if len(row) != len(_HEAD)]:
            raise ValueError(f"a line of {len(bad[0])} columns: {','.join(bad[0])}; write: class name,words")
        return _once((name, words) for name, words in (rows[1:] if rows[:1] == [_HEAD] else rows))
    return yaml_file.parse(text, path) or {}


def _once(pairs: Iterable[Any]) -> dict[Any, Any]:
    """Return pairs as a dictionary; raise ValueError for a name that comes twice."""
    found: dict[Any, Any] = {}
    for name, words in pairs:
        if name in found:
            raise ValueError(f"two lines for class {name!r}")
        found[name] = words
    return found
