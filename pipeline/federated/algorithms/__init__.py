"""Federated algorithms: one paper, one file, named like the algorithm.

A file defines ``ALGORITHM``, a frozen dataclass derived from ``Algorithm`` or from another algorithm, whose fields are
its hyper-parameters. The file's name is the algorithm's name in params.yaml, and its hyper-parameters are set under
``train.options``. Importing this package loads no algorithm and no torch; ``make`` loads one.
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from pipeline.errors import ParameterError

if TYPE_CHECKING:
    from pipeline.federated.algorithm import Algorithm


def names() -> tuple[str, ...]:
    """Return the names of all algorithms, sorted."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(__path__)))


def check(chosen: Iterable[str], where: str) -> None:
    """Raise ParameterError for the first name that no algorithm has; ``where`` is the key or option that holds it."""
    known = names()
    for name in chosen:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
            nearest = f"; did you mean {close[0]!r}?" if close else ""
            raise ParameterError(f"unknown algorithm {name!r}", where, f"one of {', '.join(known)}{nearest}")


def make(name: str, options: Mapping[str, Any]) -> Algorithm:
    """Return the algorithm of this name; raise ParameterError if there is none, or for an option it cannot take."""
    check([name], "params.yaml, train.algorithms")
    kind: type[Algorithm] = importlib.import_module(f"{__name__}.{name}").ALGORITHM
    where = f"params.yaml, train.options.{name}"
    known = set(kind.__dataclass_fields__)
    for option in options:
        if option not in known:
            fix = f"it takes {', '.join(sorted(known))}" if known else "it takes none"
            raise ParameterError(f"unknown hyper-parameter {option!r}", where, fix)
    try:
        made: Algorithm = TypeAdapter(kind).validate_python(dict(options))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        value = f"{where}.{'.'.join(str(key) for key in first['loc'])} = {first['input']!r}"
        raise ParameterError("bad value", value, first["msg"]) from None
    return made
