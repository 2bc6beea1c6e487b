"""Prompts that a text encoder would cut are refused: the end that is lost may be the class."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

import numpy as np

from pipeline import progress
from pipeline.artifacts import pairs
from pipeline.errors import ParameterError
from pipeline.generation import prompts, tokens
from pipeline.generation.plan import Plan
from pipeline.generation.prompts import PromptSet
from pipeline.generation.request import Request
from pipeline.generation.tokens import Encoder
from pipeline.params import GenerateParams
from pipeline.workspace import Workspace

_AT_ONCE = 4_096  # sentences
_MANY = 50_000  # sentences; with more there is a bar


class Sentence(NamedTuple):
    """A prompt, and what it was made of."""

    text: str
    class_name: str
    template: str | None
    """None: to be found, since an image's spec does not say it."""


@dataclass(frozen=True)
class _Cut:
    """A text that an encoder would cut."""

    encoder: Encoder
    tokens: int
    sentence: Sentence


def check(workspace: Workspace, params: GenerateParams, asked: Request, clients: Sequence[int] | None = None) -> None:
    """Raise ParameterError if an encoder of the model cuts a prompt that these clients (default: all) may ask for.

    Also if it cuts the negative prompt, and if no encoder tells two classes apart.
    """
    plan, recipe = asked.furthest, asked.plan.recipe
    lacking = plan.missing if clients is None else plan.missing[list(clients)]
    asked_of = pairs.by_class(lacking, len(plan.class_names)).any(axis=0)
    names = {plan.prompt_names[label]: plan.class_names[label] for label in np.flatnonzero(asked_of).tolist()}
    if not names:
        return
    encoders = tokens.encoders(asked.model)
    for encoder in encoders:
        (count,) = encoder.counts([recipe.negative_prompt])
        if count > encoder.limit:
            where = f"params.yaml, generate.negative_prompt = {recipe.negative_prompt!r}"
            raise ParameterError(_what(encoder, count), where, "shorten it")
    for encoder in encoders:
        if cut := _first_cut(encoder, plan, clients, list(names)):
            raise _refused(workspace, params, _sentences(plan), encoders, cut, names)
    _check_alike(encoders, _sentences(plan), list(names))


def _sentences(plan: Plan) -> PromptSet:
    """Return the recipe's prompt set, with the domains of the plan among its words."""
    return plan.recipe.prompts.with_domains(plan.domain_words)


def longest(encoder: Encoder, chosen: PromptSet, names: Sequence[str]) -> list[Sentence]:
    """Return for each template and class the sentence of most tokens.

    It is that where ``complete`` holds, elsewhere one of the longest.
    """
    found = []
    for template in chosen.templates:
        values = {name: first for name, (first, *_) in chosen.of(template)}
        for name, options in chosen.of(template):
            tried = [prompts.sentence(template, names[0], {**values, name: option}) for option in options]
            counts = encoder.counts(tried)
            values[name] = options[counts.index(max(counts))]
        found += [Sentence(prompts.sentence(template, name, values), name, template) for name in names]
    return found


def complete(encoder: Encoder, chosen: PromptSet) -> bool:
    """Return whether no sentence has more tokens than the ``longest`` ones.

    So it is if no token reaches over a blank and each word in braces stands alone between blanks, but for letters of
    the template: then the number of tokens is a sum over the words in braces.
    """
    return chosen.choices == 1 or (encoder.splits and all(map(prompts.separable, chosen.templates)))


def _first_cut(encoder: Encoder, plan: Plan, clients: Sequence[int] | None, names: Sequence[str]) -> _Cut | None:
    """Return a sentence that the encoder cuts, if there is one.

    All sentences of the classes count; but where they are more than the images, those of the images.
    """
    chosen = _sentences(plan)
    if (cut := _cut(encoder, longest(encoder, chosen, names))) or complete(encoder, chosen):
        return cut
    images = sum(len(one.indices) for one in plan.wanted(clients))
    total = min(chosen.choices * len(names), images)
    every = _of_images(plan, clients) if total == images else _of_classes(chosen, names)
    if total < _MANY:
        return _cut(encoder, every)
    with progress.bar("prompts", total, "sentences") as advance:
        return _cut(encoder, every, advance)


def _of_classes(chosen: PromptSet, names: Iterable[str]) -> Iterator[Sentence]:
    for name in names:
        for template, text in chosen.sentences(name):
            yield Sentence(text, name, template)


def _of_images(plan: Plan, clients: Sequence[int] | None) -> Iterator[Sentence]:
    for one in plan.wanted(clients):
        for index in one.indices:
            yield Sentence(plan.recipe.spec(one.lane, one.class_name, index).prompt, one.class_name, None)


def _cut(encoder: Encoder, sentences: Iterable[Sentence], advance: progress.Advance | None = None) -> _Cut | None:
    """Return the first sentence of too many tokens; hold only some at a time."""
    left = iter(sentences)
    while part := list(islice(left, _AT_ONCE)):
        for sentence, count in zip(part, encoder.counts([sentence.text for sentence in part]), strict=True):
            if count > encoder.limit:
                return _Cut(encoder, count, sentence)
        if advance:
            advance(len(part))
    return None


def _check_alike(encoders: Sequence[Encoder], chosen: PromptSet, names: Sequence[str]) -> None:
    """Raise ParameterError if a sentence is the same to every encoder whichever of two classes it names.

    Many tokenizers know no capitals, and some have one token for all letters that they do not know.
    """
    values = {name: first for name, (first, *_) in chosen.attributes}
    texts = [prompts.sentence(chosen.templates[0], name, values) for name in names]
    read = [encoder.ids(texts) for encoder in encoders]
    known: dict[str, str] = {}
    for i, name in enumerate(names):
        other = known.setdefault(str([ids[i] for ids in read]), name)
        if read and other != name:
            what = f"the model reads {other!r} and {name!r} as the same, so two classes would get the same images"
            raise ParameterError(what, "params.yaml, generate.class_overrides", "give one of them other words")


def _refused(
    workspace: Workspace,
    params: GenerateParams,
    chosen: PromptSet,
    encoders: Sequence[Encoder],
    cut: _Cut,
    names: dict[str, str],
) -> ParameterError:
    """Return the error for a prompt that is cut; it lists the shipped prompt sets that fit all of these classes."""
    sentence, called = cut.sentence, names[cut.sentence.class_name]
    spoken = f" ({sentence.class_name!r} in prompts)" if called != sentence.class_name else ""
    template = sentence.template or chosen.template_of(sentence.text, sentence.class_name)
    where = (
        f"{workspace.at(params.prompts)}, templates, {template!r}, class {called!r}{spoken}, prompt {sentence.text!r}"
    )
    fix = "use fewer words there, or in generate.class_overrides for the class"
    if fitting := [str(path) for path in _fitting(workspace, encoders, list(names))]:
        fix += f"; or set generate.prompts to a set that fits: {', '.join(fitting)}"
    return ParameterError(_what(cut.encoder, cut.tokens), where, fix)


def _fitting(workspace: Workspace, encoders: Sequence[Encoder], names: Sequence[str]) -> Iterator[object]:
    for path in sorted((workspace.data / "prompts").glob("*.yaml")):
        try:
            chosen = prompts.load(path)
        except ParameterError:
            continue
        if not any(_cut(encoder, longest(encoder, chosen, names)) for encoder in encoders):
            yield path


def _what(encoder: Encoder, count: int) -> str:
    return f"a prompt would lose its end: {count} tokens, of which the model's {encoder.name} reads {encoder.limit}"
