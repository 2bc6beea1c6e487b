"""Which of a model's labels stands for which of our classes."""

import difflib
import re
from collections.abc import Mapping, Sequence

from pipeline.errors import ParameterError

_WORD = re.compile(r"[^\W_]+")
_NEAREST = 3


def match(
    class_names: Sequence[str], words: Sequence[str], labels: Sequence[str], given: Mapping[str, str], where: str
) -> list[int]:
    """Return the place in ``labels``, what a model calls its classes, of each of our classes.

    A class has the label that ``given`` names, else the one that has the same words as its name or as what prompts call
    it; a label may have several names between commas, as ImageNet's have. Case and what stands between words do not
    matter. Raises ParameterError for a class without a label, which names the nearest ones, and for two classes with
    one label.
    """
    for name in given:
        if name not in class_names:
            fix = f"the classes are {', '.join(class_names[:10])}"
            raise ParameterError(f"no class {name!r}", f"{where}.labels", fix)
    if not labels:
        raise ParameterError("the model's configuration names no labels (id2label)", f"{where}.model", "choose another")
    known: dict[str, int] = {}
    for place, label in enumerate(labels):
        for text in (label, *label.split(",")):
            known.setdefault(_words(text), place)
    found: list[int] = []
    for name, spoken in zip(class_names, words, strict=True):
        asked = [given[name]] if name in given else [name, spoken]
        places = [known[text] for text in map(_words, asked) if text in known]
        if not places:
            raise _without(name, asked[-1], labels, where)
        place = places[0]
        if place in found:
            what = f"classes {class_names[found.index(place)]!r} and {name!r} have one label of the model"
            raise ParameterError(what, f"{where}.labels, {labels[place]!r}", "give one of them another label")
        found.append(place)
    return found


def _words(text: str) -> str:
    return " ".join(_WORD.findall(text.casefold()))


def _without(name: str, asked: str, labels: Sequence[str], where: str) -> ParameterError:
    by_words = {_words(label): label for label in reversed(labels)}
    close = difflib.get_close_matches(_words(asked), by_words, n=_NEAREST, cutoff=0.3) or list(by_words)[-_NEAREST:]
    nearest = ", ".join(repr(by_words[one]) for one in close)
    what = f"the model has no label {asked!r} for class {name!r}"
    return ParameterError(what, f"{where}.labels", f"write labels: {{{name}: LABEL}}; the nearest are {nearest}")
