"""Words for classes: what prompts call them. Images are known by these words, so each class has its own."""

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence

from pipeline.errors import ParameterError
from pipeline.generation.words import overrides as _overrides
from pipeline.generation.words.overrides import read
from pipeline.generation.words.rules import nameless, spoken

__all__ = ["check_named", "differing", "for_classes", "lines", "nameless", "read", "spoken"]

_SHOWN = 10  # classes in one line of an error or of progress


def for_classes(class_names: Sequence[str], overrides: Mapping[str, str]) -> tuple[str, ...]:
    """Return what prompts call each class: its override, as it is, or the words for its name.

    Raises ParameterError for an override of an unknown class, and for two classes of equal words.
    """
    for name in overrides:
        if name not in class_names:
            close = difflib.get_close_matches(name, class_names, n=1, cutoff=0.5) or list(class_names[:_SHOWN])
            fix = f"did you mean {', '.join(map(repr, close))}?"
            raise ParameterError(f"no class {name!r}", _overrides.WHERE, fix)
    words = tuple(overrides.get(name) or spoken(name) for name in class_names)
    known: dict[str, int] = {}
    for label, text in enumerate(words):
        other = known.setdefault(text, label)
        if other != label:
            what = f"prompts would call two classes {text!r}: {class_names[other]!r} and {class_names[label]!r}"
            raise ParameterError(what, _overrides.WHERE, "give one of them other words")
    return words


def check_named(class_names: Sequence[str], overrides: Mapping[str, str], asked: Iterable[bool]) -> None:
    """Raise ParameterError if images are asked for of a class whose name says nothing to a model.

    An override is taken as it is.
    """
    bad = [
        name
        for name, wanted in zip(class_names, asked, strict=True)
        if wanted and name not in overrides and nameless(spoken(name))
    ]
    if bad:
        what = f"a model cannot know what to draw for {_list([repr(name) for name in bad])}"
        fix = f"say in data.class_names what the classes show, or in generate.class_overrides, e.g. {{'{bad[0]}': cat}}"
        raise ParameterError(what, "params.yaml, data.class_names", fix)


def differing(class_names: Sequence[str], words: Sequence[str]) -> list[tuple[str, str]]:
    """Return class names and words where they differ."""
    return [pair for pair in zip(class_names, words, strict=True) if pair[0] != pair[1]]


def lines(class_names: Sequence[str], words: Sequence[str]) -> Iterator[str]:
    """Yield a line that shows the words that differ from the class names, none if all are the same."""
    if pairs := differing(class_names, words):
        yield f"prompts say {_list([f'{said!r} for {name!r}' for name, said in pairs])}"


def _list(texts: Sequence[str]) -> str:
    more = f" and {len(texts) - _SHOWN} more" if len(texts) > _SHOWN else ""
    return ", ".join(texts[:_SHOWN]) + more
