"""The text of a params.yaml with other values: every other line and all comments stay as they are.

This is for the files that ship, which have one value a line, two blanks for each level, and comments behind two blanks.
"""

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import yaml

from pipeline.errors import ParameterError

_COLUMN = 31
"""Where comments start."""
_MOST = 120
_LINE = re.compile(r"(?P<indent> *)(?P<key>[A-Za-z_][\w-]*):(?P<value>(?: (?! #|$).*?)?)(?P<comment>  +#.*)?$")


def changed(text: str, changes: Mapping[str, Any]) -> str:
    """Return the text with other values, which are given by their dotted names, such as ``train.options.fedprox``.

    Raises ParameterError for a name that the text does not have.
    """
    left, path, out = dict(changes), [""] * 20, list[str]()
    for line in text.splitlines():
        found = _LINE.match(line)
        if found is None:
            out.append(line)
            continue
        depth = len(found["indent"]) // 2
        path[depth] = found["key"]
        name = ".".join(path[: depth + 1])
        out += _written(found, left.pop(name)) if name in left else [line]
    if left:
        raise ParameterError(f"no parameter {next(iter(left))!r}", "params.yaml", "add a line for it")
    return "\n".join(out) + "\n"


def written(value: Any) -> str:
    """Return a value as it stands in a line of YAML."""
    if isinstance(value, float) and 0 < abs(value) < 1e-3:
        return format(Decimal(repr(value)), "f")
    for readable in (True, False):  # as a rule with letters of all languages; YAML takes some characters for line ends
        dumped = str(
            yaml.safe_dump(value, default_flow_style=True, width=10_000, sort_keys=False, allow_unicode=readable)
        )
        if yaml.safe_load(dumped) == value:
            break
    return dumped.removesuffix("...\n").strip()


def _written(found: re.Match[str], value: Any) -> list[str]:
    line = f"{found['indent']}{found['key']}: {written(value)}"
    comment = (found["comment"] or "").strip()
    if not comment:
        return [line]
    column = max(_COLUMN, len(line) + 2)
    if column == _COLUMN or column + len(comment) <= _MOST:
        return [line.ljust(_COLUMN if column == _COLUMN else len(line) + 2) + comment]
    return [line, " " * _COLUMN + comment]
