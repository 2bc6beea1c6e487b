"""Federated algorithms: one paper, one file, named like the algorithm.

A file defines ``ALGORITHM``, a frozen dataclass derived from ``FedAvg`` whose fields are its hyper-parameters. It is
then known to params.yaml by the file's name, and its hyper-parameters by theirs under ``train.options``.
"""

import importlib
from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError

from pipeline.errors import ParameterError
from pipeline.federated.algorithms.fedavg import FedAvg


def make(name: str, options: Mapping[str, Any]) -> FedAvg:
    """Return the algorithm of this name; raise ParameterError naming a hyper-parameter that it cannot take."""
    kind: type[FedAvg] = importlib.import_module(f"{__name__}.{name}").ALGORITHM
    where = f"params.yaml, train.options.{name}"
    known = set(kind.__dataclass_fields__)
    for option in options:
        if option not in known:
            fix = f"it takes {', '.join(sorted(known))}" if known else "it takes none"
            raise ParameterError(f"unknown hyper-parameter {option!r}", where, fix)
    try:
        made: FedAvg = TypeAdapter(kind).validate_python(dict(options))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        value = f"{where}.{'.'.join(str(key) for key in first['loc'])} = {first['input']!r}"
        raise ParameterError("bad value", value, first["msg"]) from None
    return made


__all__ = ["FedAvg", "make"]
