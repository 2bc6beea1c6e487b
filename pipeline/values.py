"""The kinds of values that params.yaml has: their types, their bounds, and how they may be written."""

import math
import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

MOST = 10**9
"""No count, size or number of steps is larger: a slip of the keys is refused here, and not by the memory."""
_MOST_PIXELS = 16384
_LARGEST_SEED = 2**128 - 1

Positive = Annotated[int, Field(ge=1, le=MOST)]
Count = Annotated[int, Field(ge=0, le=MOST)]
StrictCount = Annotated[int, Field(ge=0, le=MOST, strict=True)]
StrictPositive = Annotated[int, Field(ge=1, le=MOST, strict=True)]
Pixels = Annotated[int, Field(ge=1, le=_MOST_PIXELS)]
Seed = Annotated[int, Field(ge=-_LARGEST_SEED, le=_LARGEST_SEED)]
Share = Annotated[float, Field(gt=0, le=1, strict=True)]


def distinct(given: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return a list; raise ValueError if two of its entries are equal."""
    if len(set(given)) < len(given):
        raise ValueError("equal entries are equal runs: write each one once")
    return given


RunName = Annotated[str, Field(max_length=100)]
Names = Annotated[tuple[RunName, ...], AfterValidator(distinct)]
Seeds = Annotated[tuple[Seed, ...], Field(min_length=1), AfterValidator(distinct)]


def _scales(given: object) -> object:
    """Return guidance scales as a list: one number stands for itself, low, high and step for all from low to high."""
    match given:
        case int() | float() if not isinstance(given, bool):
            return [given]
        case list() | tuple():
            return given
        case {"low": int() | float() as low, "high": int() | float() as high, "step": int() | float() as step, **more}:
            try:
                count = (high - low) / step + 1 if step > 0 else 0
            except OverflowError:
                count = math.inf
            if more or not 2 <= count + 1e-9 < _MOST_SCALES:
                raise ValueError(f"the step of a range must give 2 to {_MOST_SCALES} scales from low to high")
            return [round(low + i * step, 9) for i in range(int(count + 1e-9))]
    raise ValueError("write a number, a list of numbers, or {low: 1, high: 5, step: 0.5}")


def overrides(given: object) -> dict[str, str] | str:
    """Return words by class name, or the path of a file that has them; raise ValueError for anything else."""
    if isinstance(given, str):
        return given
    if not isinstance(given, dict):
        raise ValueError("write {class name: words}, or the path of a YAML, JSON or CSV file with them")
    for name, words in given.items():
        if not isinstance(name, str | int) or isinstance(name, bool):
            raise ValueError(f"YAML reads the class name {name!r} as another value: write it in quotes")
        if not isinstance(words, str) or not words.strip():
            raise ValueError(f"the words for class {name!r} are {words!r}: write a text, in quotes if it is a number")
    return {str(name): words for name, words in given.items()}


def _words(given: object) -> object:
    """Return words by name; raise ValueError for anything else, and for braces, which prompts would expand."""
    found = overrides(given)
    if isinstance(found, str):
        raise ValueError("write {domain: words}")
    if bad := [name for name, words in found.items() if "{" in words or "}" in words]:
        raise ValueError(f"the words for {bad[0]!r} have braces, which only templates of prompts may have")
    return found


_MOST_SCALES = 100
Scale = Annotated[float, Field(ge=0, strict=True)]
Overrides = Annotated[dict[str, str] | str, BeforeValidator(overrides)]
Words = Annotated[dict[str, str], BeforeValidator(_words)]
Scales = Annotated[tuple[Scale, ...], BeforeValidator(_scales), Field(min_length=1, max_length=_MOST_SCALES)]


def _class_names(given: object) -> object:
    """Return a list of names, or names by label with the labels as text: YAML reads ``0: cat`` as a number."""
    if given is None:
        return None
    if not isinstance(given, (list, tuple, dict)) or not given:
        raise ValueError("write a list of names in order of label, or {label: name}")
    names = given.values() if isinstance(given, dict) else given
    if not all(isinstance(name, str) and name.strip() for name in names):
        raise ValueError("a class name is a text: quote numbers, and yes, no, on, off, true, false and null")
    if not isinstance(given, dict):
        return given
    if any(isinstance(key, bool) or key is None for key in given):
        raise ValueError("YAML reads yes, no, on, off, true, false and null as other things than text: quote them")
    return {str(key): name for key, name in given.items()}


ClassNames = Annotated[tuple[str, ...] | dict[str, str] | None, BeforeValidator(_class_names)]


def _colour(given: str) -> str:
    from PIL import ImageColor

    if given.lower() in ImageColor.colormap or re.fullmatch("#[0-9a-fA-F]{6}", given):
        return given
    raise ValueError("write the name of a colour, such as white, or #rrggbb in quotes")


Colour = Annotated[str, AfterValidator(_colour)]
