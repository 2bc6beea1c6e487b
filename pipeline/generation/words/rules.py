"""What prompts call a class: its name, with what data sets put in place of blanks turned back into blanks."""

import re

from pipeline.generation.words import wordnet

_NUMBERED = re.compile(r"(?:\d+\.|0\d*[._-])\s*(?=[^\W\d_])")
"""The number before a name: ``001.Laysan_Albatross``, ``07-cat``; but not ``747-400`` or ``101_Dalmatians``."""
_WORDNET = re.compile(r"n(\d{8})(?:[-_. ]+(.*\S.*))?")
"""A WordNet id, and the name that some data sets add: ``n02085620-Chihuahua``."""
_SENSE = re.compile(r"(.+)\.n\.\d\d")
"""How NLTK writes one of WordNet's nouns: ``airliner.n.01``."""
_DASHED = re.compile(r"[a-z]{2,}(?:-[a-z]{2,})+")
"""``golden-retriever``, but not ``t-shirt``, ``x-ray`` or ``Coca-Cola``."""
_CAMEL = re.compile(r"[a-z]{2,}(?:[A-Z][a-z]{2,})+|(?!Mac[A-Z])(?:[A-Z][a-z]{2,}|[A-Z]{2,}(?=[A-Z][a-z]{2})){2,}")
"""``aquariumFish``, ``AnnualCrop``, ``DVDPlayer``, but not ``iPod``, ``CDs``, ``McDonald`` or ``MacBook``."""
_HUMP = re.compile(r"[A-Z]{2,}(?=[A-Z][a-z])|[A-Z]?[a-z]+")
_GENERIC = re.compile(r"(?i:class|cls|label|category|index|idx|id|target|type|group)[\W_]*\d+|[a-z] ?\d+")
"""``class 3``, ``label_7``, ``c0``: a number in other clothes; but not ``A320``."""


def spoken(name: str) -> str:
    """Return the words for a class name, the name itself if they would be none. Words stay what they are.

    A WordNet id becomes its noun. Underscores become blanks; dashes and capitals between words do so only in a name
    that has nothing else between them, and that WordNet does not spell so.
    """
    text = " ".join(name.replace("_", " ").split())
    if numbered := _NUMBERED.match(text):
        return spoken(text[numbered.end() :])
    if found := _WORDNET.fullmatch(text):
        number, said = found.groups()
        return spoken(said) if said and not nameless(said) else wordnet.words(int(number)) or text
    if found := _SENSE.fullmatch(text):
        return spoken(found[1])
    return _spaced(text) or name


def _spaced(text: str) -> str:
    dashed, camel = _DASHED.fullmatch(text), _CAMEL.fullmatch(text)
    if not (dashed or camel) or wordnet.spells(text):
        return text
    humps = text.split("-") if dashed else _HUMP.findall(text)
    return " ".join(hump if hump.isupper() else hump.lower() for hump in humps)


def nameless(words: str) -> bool:
    """Return whether words say nothing to a model: no letter, a number with a general name, an unknown WordNet id."""
    if not any(letter.isalpha() for letter in words):
        return True
    return bool(_GENERIC.fullmatch(words) or _WORDNET.fullmatch(words))
