"""Prompt sets: the sentences that images of a class are drawn from, read from a YAML file.

A file has ``templates``, a list of sentences that contain ``{class}``, and a list of values for every other word in
braces, which are picked independently of each other. ``{domain}`` without a list stands for the words for the image's
domain, in a data set that has domains.
"""

import itertools
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from pipeline import yaml_file
from pipeline.errors import ParameterError

_CLASS = "class"
_CLASS_MARK = "{class}"
_DOMAIN = "domain"
_DOMAIN_MARK = "{domain}"
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

    @cached_property
    def names_domain(self) -> bool:
        """Whether some sentence names the domain that the data set gives an image."""
        own = all(name != _DOMAIN for name, _ in self.attributes)
        return own and any(_DOMAIN_MARK in template for template in self.templates)

    def prompt(self, class_name: str, choose: Callable[[int], int], domain: str | None = None) -> str:
        """Return one sentence; ``choose(n)`` picks a number below ``n`` for the template and each attribute.

        ``domain`` are the words for the image's domain.
        """
        template = self.templates[choose(len(self.templates))]
        values = {name: values[choose(len(values))] for name, values in self.attributes}
        if domain is not None and self.names_domain:
            values[_DOMAIN] = domain
        return sentence(template, class_name, values)

    def with_domains(self, words: Sequence[str]) -> Self:
        """Return a set whose sentences are those of this one for all domains, to look at them."""
        if not (self.names_domain and words):
            return self
        return replace(self, attributes=tuple(sorted((*self.attributes, (_DOMAIN, tuple(words))))))

    def of(self, template: str) -> list[tuple[str, tuple[str, ...]]]:
        """Return the attributes that a template names, with their values."""
        return [(name, values) for name, values in self.attributes if f"{{{name}}}" in template]

    def sentences(self, class_name: str) -> Iterator[tuple[str, str]]:
        """Yield all sentences of a class, each with its template."""
        for template in self.templates:
            attributes = self.of(template)
            for values in itertools.product(*(values for _, values in attributes)):
                chosen = {name: value for (name, _), value in zip(attributes, values, strict=True)}
                yield template, sentence(template, class_name, chosen)

    def template_of(self, prompt: str, class_name: str) -> str:
        """Return the first template that gives a prompt; raise StopIteration if none does."""
        return next(template for template in self.templates if self._pattern(template, class_name).fullmatch(prompt))

    def _pattern(self, template: str, class_name: str) -> re.Pattern[str]:
        pattern = re.escape(template)
        for name, values in self.attributes:
            pattern = pattern.replace(re.escape(f"{{{name}}}"), f"(?:{'|'.join(map(re.escape, values))})")
        return re.compile(pattern.replace(re.escape(_CLASS_MARK), re.escape(class_name)))


def sentence(template: str, class_name: str, values: Mapping[str, str]) -> str:
    """Return a template with values of attributes and the class in place; a class name is not expanded again."""
    for name, value in values.items():
        template = template.replace(f"{{{name}}}", value)
    return template.replace(_CLASS_MARK, class_name)


def separable(template: str) -> bool:
    """Return whether no two words in braces touch each other or stand between the same two blanks."""
    return all(word.count("{}") <= 1 for word in _WORD.sub("{}", template).split())


def load(path: Path, shipped: Path | None = None, domains: bool = False) -> PromptSet:
    """Read a prompt set; raise ParameterError naming the file and the entry at fault.

    ``domains`` tells whether the data set has any, so that ``{domain}`` needs no list of values. If there is no such
    file, the error lists the prompt sets in the folder ``shipped``.
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
    _check(path, templates, entries, domains)
    read = PromptSet(templates, tuple(sorted(entries.items())))
    if read.choices > _MOST_CHOICES:
        raise ParameterError(f"more than {_MOST_CHOICES:.0e} sentences", path, "leave attributes or values out")
    return read


def _texts(path: Path, name: str, values: Any) -> tuple[str, ...]:
    if not (isinstance(values, list) and values and all(isinstance(value, str) and value.strip() for value in values)):
        raise ParameterError("not a list of texts", f"{path}, {name} = {values!r}", "write a YAML list of texts")
    return tuple(values)


def _check(path: Path, templates: Iterable[str], attributes: Mapping[str, tuple[str, ...]], domains: bool) -> None:
    used = set()
    for template in templates:
        words = set(_WORD.findall(template))
        where = f"{path}, templates, {template!r}"
        if _CLASS not in words:
            raise ParameterError("a template names no class", where, f"put {{{_CLASS}}} where the class name belongs")
        known = {_CLASS, *attributes, *([_DOMAIN] if domains else [])}
        if unknown := sorted(words - known):
            fix = f"add a list: {unknown[0]}: [...]"
            fix += "; or name the data set's column of domains: data.group_column" if unknown[0] == _DOMAIN else ""
            raise ParameterError(f"no values for {{{unknown[0]}}}", where, fix)
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
