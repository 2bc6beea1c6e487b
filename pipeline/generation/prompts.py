"""Prompt sets: the sentences that images of a class are drawn from, read from a YAML file.

A file has ``templates``, a list of sentences that contain ``{class}``, and a list of values for every other word in
braces, which are picked independently of each other.
"""

import difflib
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pipeline import yaml_file
from pipeline.errors import ParameterError

_CLASS = "class"
_CLASS_MARK = "{class}"
_TEMPLATES = "templates"
_MOST_CHOICES = 10**12  # one number below 2^63 makes all of an image's choices
_WORD = re.compile(r"{([^{}]*)}")


@dataclass(frozen=True)
class PromptSet:
    """Templates, and the values of the attributes that they name."""

    templates: tuple[str, ...]
    attributes: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """Pairs of an attribute and its values, in order of the attribute."""

    @cached_property
    def choices(self) -> int:
        """How many sentences there are at most for each class."""
        return math.prod((len(self.templates), *(len(values) for _, values in self.attributes)))

    def prompt(self, class_name: str, choose: Callable[[int], int]) -> str:
        """Return one sentence; ``choose(n)`` picks a number below ``n`` for the template and each attribute."""
        sentence = self.templates[choose(len(self.templates))]
        for name, values in self.attributes:
            sentence = sentence.replace(f"{{{name}}}", values[choose(len(values))])
        return sentence.replace(_CLASS_MARK, class_name)


def load(path: Path, shipped: Path | None = None) -> PromptSet:
    """Read a prompt set; raise ParameterError naming the file and the entry at fault.

    If there is no such file, the error lists the prompt sets in the folder ``shipped``.
    """
    if not path.is_file():
        others = ", ".join(str(file) for file in sorted(shipped.glob("*.yaml"))) if shipped else ""
        fix = f"set generate.prompts to a file{': ' if others else ''}{others}"
        raise ParameterError("no such prompt set", path, fix)
    document = yaml_file.load(path)
    if not isinstance(document, dict) or _TEMPLATES not in document:
        raise ParameterError("a prompt set has no templates", path, "write: templates: ['a photo of a {class}']")
    entries = {str(name): _texts(path, str(name), values) for name, values in document.items()}
    templates = entries.pop(_TEMPLATES)
    _check(path, templates, entries)
    read = PromptSet(templates, tuple(sorted(entries.items())))
    if read.choices > _MOST_CHOICES:
        raise ParameterError(f"more than {_MOST_CHOICES:.0e} sentences", path, "leave attributes or values out")
    return read


def rename(class_names: Sequence[str], overrides: Mapping[str, str]) -> tuple[str, ...]:
    """Return what prompts call each class; raise ParameterError for an unknown class or two of one name."""
    where = "params.yaml, generate.class_overrides"
    for name in overrides:
        if name not in class_names:
            close = difflib.get_close_matches(name, class_names, n=1, cutoff=0.5) or list(class_names[:10])
            raise ParameterError(f"no class {name!r}", where, f"did you mean {', '.join(map(repr, close))}?")
    renamed = tuple(overrides.get(name, name) for name in class_names)
    twice = {name for name in renamed if renamed.count(name) > 1} if overrides else set()
    if twice:
        raise ParameterError(f"two classes are called {min(twice)!r}", where, "give them different names")
    return renamed


def _texts(path: Path, name: str, values: Any) -> tuple[str, ...]:
    if not (isinstance(values, list) and values and all(isinstance(value, str) and value.strip() for value in values)):
        raise ParameterError("not a list of texts", f"{path}, {name} = {values!r}", "write a YAML list of texts")
    return tuple(values)


def _check(path: Path, templates: Iterable[str], attributes: Mapping[str, tuple[str, ...]]) -> None:
    used = set()
    for template in templates:
        words = set(_WORD.findall(template))
        where = f"{path}, templates, {template!r}"
        if _CLASS not in words:
            raise ParameterError("a template names no class", where, f"put {{{_CLASS}}} where the class name belongs")
        for word in sorted(words - {_CLASS}):
            if word not in attributes:
                raise ParameterError(f"no values for {{{word}}}", where, f"add a list: {word}: [...]")
        used |= words
    for name, values in attributes.items():
        if name == _CLASS:
            raise ParameterError("the class is not an attribute", f"{path}, {name}", "give the attribute another name")
        for value in values:
            if "{" in value or "}" in value:
                raise ParameterError("braces in a value", f"{path}, {name}, {value!r}", "use them in templates only")
        if name not in used:
            raise ParameterError(
                "no template uses this attribute", f"{path}, {name}", f"write {{{name}}} in a template"
            )
