"""Captions of the classes, and a CLIP tokenizer in which each of their words is one token."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from transformers import CLIPTokenizer

from latent.recipe import CaptionsRecipe
from pipeline.errors import ParameterError
from pipeline.generation import words


@dataclass(frozen=True)
class Captions:
    """Templates, and the words that go into them."""

    templates: tuple[str, ...]
    words: tuple[str, ...]
    """The words for the classes, in order of label, then those for groups."""
    of_class: tuple[tuple[int, ...], ...]
    """For each class, which words name its pictures."""

    def texts(self) -> list[str]:
        """Return every caption: template after template, each with every word."""
        return [template.format(word) for template in self.templates for word in self.words]


def make(recipe: CaptionsRecipe, class_names: Sequence[str]) -> Captions:
    """Return the captions of these classes, which are called as prompts will call them.

    Raises ParameterError for a group of a class that is not there, or with the words of a class.
    """
    spoken = words.for_classes(class_names, {})
    for word, members in recipe.groups.items():
        if unknown := [name for name in members if name not in class_names]:
            raise ParameterError(f"no class {unknown[0]!r}", f"recipe, captions.groups.{word}", "see the data set")
        if word in spoken:
            raise ParameterError(f"{word!r} is a class", "recipe, captions.groups", "leave the group out")
    of_class = tuple(
        (label, *(len(spoken) + i for i, members in enumerate(recipe.groups.values()) if name in members))
        for label, name in enumerate(class_names)
    )
    return Captions(recipe.templates, (*spoken, *recipe.groups), of_class)


def tokenizer(captions: Captions, folder: Path, most: int) -> CLIPTokenizer:
    """Write a CLIP byte-pair vocabulary in which each caption word is one token, and load it.

    CLIP's vocabulary is: the 256 byte symbols, the same with an end-of-word mark, one entry per merge, two marks. CLIP
    reads small letters only.
    """
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    symbols = [chr(byte) for byte in printable] + [chr(256 + i) for i in range(len(others))]
    text = " ".join(captions.texts()).lower()
    found = sorted({word for chunk in text.split() for word in chunk.replace("3d", "3 d").replace("-", " ").split()})
    merges: dict[tuple[str, str], None] = {}
    for word in found:
        pieces = [*word[:-1], word[-1] + "</w>"]
        while len(pieces) > 1:
            merges[pieces[0], pieces[1]] = None
            pieces[:2] = [pieces[0] + pieces[1]]
    entries = [*symbols, *(symbol + "</w>" for symbol in symbols), *(a + b for a, b in merges)]
    vocabulary = dict.fromkeys([*entries, "<|startoftext|>", "<|endoftext|>"])
    folder.mkdir(parents=True)
    (folder / "vocab.json").write_text(json.dumps({entry: i for i, entry in enumerate(vocabulary)}))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in merges))
    return CLIPTokenizer.from_pretrained(str(folder), model_max_length=most)


def tokens(captions: Captions, made: CLIPTokenizer) -> Tensor:
    """Return the tokens of each caption, and last those of the empty one: (captions + 1, most).

    Raises ParameterError for a caption that is longer than the text encoder reads.
    """
    most = made.model_max_length
    found = made([*captions.texts(), ""], padding="max_length").input_ids
    for text, ids in zip(captions.texts(), found, strict=False):
        if len(ids) > most:
            what = f"a caption of {len(ids)} tokens, at most {most}: {text!r}"
            raise ParameterError(what, "recipe, captions.tokens", "raise it")
    return torch.tensor(found)
