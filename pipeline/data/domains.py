"""Domains: which kind of picture (photo, sketch, ...) each image is, by a column of the data set."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.data.labels import natural
from pipeline.errors import DataError, ParameterError

Int64 = NDArray[np.int64]
_KEY = "params.yaml, data.group_column"
_WORDS = "params.yaml, data.group_words"


@dataclass(frozen=True)
class Domains:
    """The domains of some images."""

    names: tuple[str, ...]
    """In natural order: 2 before 10."""
    numbers: Int64
    """(N,) the domain of each image, from 0."""

    def at(self, rows: Int64) -> "Domains":
        """Return the domains of some of the images."""
        return replace(self, numbers=self.numbers[rows])

    def after(self, known: Sequence[str]) -> "Domains":
        """Return the same domains with the known ones numbered first; those that only these images have come last."""
        names = (*known, *(name for name in self.names if name not in known))
        return Domains(names, np.array([names.index(name) for name in self.names], np.int64)[self.numbers])


def read(values: NDArray[Any], column: str) -> Domains:
    """Return the domains that a column (N,) names; raise DataError for a value that is no text or number, or none."""
    where = f"column {column!r}"
    texts = ["" if value is None or value != value else value for value in values.tolist()]  # noqa: PLR0124  # NaN
    if strange := [value for value in texts if not isinstance(value, str | int | float)]:
        fix = f"name a column of texts or numbers in {_KEY}"
        raise DataError(f"a value of type {type(strange[0]).__name__} names no domain", where, fix)
    named = [str(value) for value in texts]
    if empty := sum(not text.strip() for text in named):
        raise DataError(f"{empty} of {len(named)} images have no domain", where, "fill them in, or remove these images")
    names = tuple(sorted(set(named), key=natural))
    place = {name: i for i, name in enumerate(names)}
    return Domains(names, np.array([place[text] for text in named], np.int64))


def spoken(names: Sequence[str], words: Mapping[str, str]) -> tuple[str, ...]:
    """Return what prompts call each domain: the user's words, or its name with blanks for underscores and hyphens.

    Raises ParameterError for words for an unknown domain, for two domains of equal words, and for a name that no prompt
    can have as it is.
    """
    if unknown := [name for name in words if name not in names]:
        raise ParameterError(f"no domain {unknown[0]!r}", _WORDS, f"the domains are {', '.join(names[:20])}")
    said = tuple(words.get(name) or " ".join(name.replace("_", " ").replace("-", " ").split()) for name in names)
    for name, text in zip(names, said, strict=True):
        if not text or "{" in text or "}" in text:
            raise ParameterError(f"prompts cannot say the domain {name!r}", _WORDS, f"write words for it: {name}: ...")
        if said.count(text) > 1:
            other = next(one for one, same in zip(names, said, strict=True) if same == text and one != name)
            what = f"prompts would call two domains {text!r}: {name!r} and {other!r}"
            raise ParameterError(what, _WORDS, "give one of them other words")
    return said
