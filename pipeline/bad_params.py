"""What is wrong with parameters, in one line: the file, the key, the value, and what to do."""

import difflib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import get_args

from pydantic import BaseModel, ValidationError

from pipeline import printable
from pipeline.errors import ParameterError


def explain(path: Path, error: ValidationError, root: type[BaseModel]) -> ParameterError:
    """Turn the first of pydantic's complaints about a ``root`` read from ``path`` into one line.

    It prints no whole value: one may have a million characters.
    """
    first = error.errors(include_url=False)[0]
    keys = first["loc"]
    where = f"{path}, {'.'.join(map(_short, keys)) or 'the whole file'}"
    if first["type"] == "extra_forbidden":
        return ParameterError("unknown parameter", where, _nearest(keys, root))
    if first["type"] == "missing":
        return ParameterError("missing parameter", where, "add it; the shipped params.yaml explains each one")
    return ParameterError("bad value", f"{where} = {_short(first['input'], repr)}", _short(first["msg"], most=200))


def _short(value: object, text: Callable[[object], str] = str, most: int = 80) -> str:
    try:
        return printable.short(text(value), most)
    except ValueError:  # Python writes no number of more than 4300 digits
        return "a number of thousands of digits"


def _nearest(keys: Sequence[str | int], section: type[BaseModel]) -> str:
    for key in keys[:-1]:
        if isinstance(key, str) and key in section.model_fields:
            section = _section(section.model_fields[key].annotation) or section
    known = list(section.model_fields)
    close = difflib.get_close_matches(_short(keys[-1]), known, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else f"valid here: {', '.join(known)}"


def _section(annotation: object) -> type[BaseModel] | None:
    """Return the section that a field is, or has a list of."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_section, get_args(annotation))), None)
