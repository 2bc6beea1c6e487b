"""A params.yaml for a data set: values that follow from what was found, and why, in sentences."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from pipeline import params_text
from pipeline.commands import presets
from pipeline.commands.init.look import Found
from pipeline.errors import ParameterError
from pipeline.generation import words
from pipeline.workspace import Workspace

DEMO_MODEL = "data/demo/model"
WORDS = "class-words.yaml"
_BASE = "imagefolder"
_INLINE = 10
"""Classes whose words are written into params.yaml; more get a file of their own."""
_MANY = 20_000
"""Training images from which there are 100 clients."""
_UNUSED_FROM = 2_000
"""Training images from which a tenth is left to the stage evaluate."""
_SAMPLING = (("turbo", 1, 0.0), ("lcm", 4, 8.0), ("pixart", 20, 3.0))
"""Steps and guidance of models whose name contains a word."""
_CLIP_TOKENS = 77
_HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*", re.ASCII)


@dataclass(frozen=True)
class Proposal:
    """The text of params.yaml, files that it names, and what was chosen why."""

    text: str
    files: Mapping[str, str]
    """Their content by their place."""
    remarks: tuple[str, ...]


def propose(workspace: Workspace, found: Found, model: str | None) -> Proposal:
    """Return parameters for a data set, with the model asked for or Stable Diffusion 1.5.

    Raises ParameterError if prompts would call two classes the same.
    """
    remarks = list(found.remarks)
    spoken, files = _words(found, remarks)
    changes = {
        **{f"data.{key}": value for key, value in found.data.model_dump(mode="json").items() if key != "group_words"},
        **_partition(found, remarks),
        **_model(workspace, model, found, remarks),
        **_training(found),
        "generate.class_overrides": spoken,
        "generate.image_format": "png" if found.size <= 64 else "webp",
    }
    if found.data.test is None:
        remarks.append("there is no test split, so 20 % of each class are held out to test on (data.holdout)")
    how = "as they are" if found.natural else "cut to the middle square and scaled"
    remarks.append(f"pictures are used at {found.size} pixels a side, {how} (data.image_size)")
    body = presets.text(_BASE).partition("\n\n")[2]
    head = f"# Written by gen-fedsd init for {found.data.path}: {_summary(found)}.\n\n"
    return Proposal(head + params_text.changed(body, changes), files, tuple(remarks))


def demo(workspace: Workspace, model: str | None) -> str:
    """Return the demo's parameters, with another model if one is asked for."""
    text = presets.text("demo")
    if model is None:
        return text
    return params_text.changed(text, _sampling(workspace, model, "data/prompts/plain.yaml"))


def _summary(found: Found) -> str:
    counts = f"{len(found.images):,} images of {len(found.images.class_names):,} classes to train on"
    return f"{counts}, {len(found.test):,} to test on"


def _words(found: Found, remarks: list[str]) -> tuple[object, dict[str, str]]:
    """Return what prompts call classes whose names they do not repeat: pairs, or the place of a file of them."""
    names = found.images.class_names
    pairs = dict(words.differing(names, words.for_classes(names, {})))
    if dumb := [name for name in names if words.nameless(pairs.get(name, name))]:
        first = json.dumps(dumb[0], ensure_ascii=False)
        remarks.append(
            f"{len(dumb)} of the classes have no name that a model knows, such as {first}: before dvc repro, say what "
            f"they show in generate.class_overrides, e.g. {{{first}: a word}}"
        )
    if len(pairs) <= _INLINE:
        return pairs, {}
    content = "# What prompts call the classes. Correct it where a word says something else.\n"
    return WORDS, {WORDS: content + yaml.safe_dump(pairs, sort_keys=False, allow_unicode=True, width=1_000)}


def _partition(found: Found, remarks: list[str]) -> dict[str, Any]:
    count = len(found.images)
    domains = 1 if found.images.domains is None else len(found.images.domains.names)
    clients = 100 if count >= _MANY else max(2, domains, min(10, count // 20))
    left = count - count // 10 if count >= _UNUSED_FROM else None
    if left is not None:
        remarks.append(
            f"{count - left:,} training images go to no client, so that evaluate can judge the synthetic ones by them "
            "(partition.max_images)"
        )
    remarks.append(f"{clients} clients, Dirichlet {0.1 if clients == 100 else 0.5} (partition)")
    return {
        "partition.clients": clients,
        "partition.alpha": 0.1 if clients == 100 else 0.5,
        "partition.max_images": left,
        "partition.min_size": min(10, (left or count) // (4 * clients)),
    }


def _model(workspace: Workspace, model: str | None, found: Found, remarks: list[str]) -> dict[str, Any]:
    prompts = "data/prompts/diverse.yaml" if found.images.domains is None else "data/prompts/own-domain.yaml"
    if model is None:
        remarks.append("the model is Stable Diffusion 1.5; --model chooses another one")
        return {"generate.prompts": prompts}
    chosen = _sampling(workspace, model, prompts)
    if not workspace.at(model).exists() and model != DEMO_MODEL:
        remarks.append(f"{model} is not pinned: set generate.revision to a commit for a repeatable run")
    steps, guidance = chosen["generate.steps"], chosen["generate.guidance"]
    by = "the demo's" if model == DEMO_MODEL else "what models of such a name usually need"
    remarks.append(f"{steps} steps and guidance {guidance:g} are {by} (generate)")
    return chosen


def check_model(workspace: Workspace, model: str | None) -> None:
    """Raise ParameterError for a model that is neither here nor can be on the Hub."""
    if model is None or model == DEMO_MODEL or workspace.at(model).exists() or _HUB_ID.fullmatch(model):
        return
    raise ParameterError("no such folder or file, and no Hub id", model, "check --model")


def _sampling(workspace: Workspace, model: str, prompts: str) -> dict[str, Any]:
    """Return the values of ``generate`` for a model: the README's settings to start from."""
    name = model.lower()
    steps, guidance = next(((steps, scale) for word, steps, scale in _SAMPLING if word in name), (30, 2.0))
    if model == DEMO_MODEL:
        steps, guidance, prompts = 8, 1.0, prompts if "own" in prompts else "data/prompts/plain.yaml"
    elif _tokens(workspace, model) < _CLIP_TOKENS and "own" not in prompts:
        prompts = "data/prompts/plain.yaml"
    return {
        **{"generate.model": model, "generate.revision": None, "generate.variant": None, "generate.prompts": prompts},
        **{"generate.steps": steps, "generate.guidance": guidance},
        **({"generate.batch_size": 64} if model == DEMO_MODEL else {}),
    }


def _tokens(workspace: Workspace, model: str) -> int:
    """Return how many tokens a local model's tokenizer says that it reads; as many as CLIP where that is not known."""
    try:
        config = json.loads((workspace.at(model) / "tokenizer/tokenizer_config.json").read_text(encoding="utf-8"))
        return int(config["model_max_length"])
    except (OSError, ValueError, KeyError, TypeError):
        return _CLIP_TOKENS


def _training(found: Found) -> dict[str, Any]:
    """Return a network that fits the pictures, and as much training as the number of images allows."""
    count, many = len(found.images), len(found.images) >= _MANY
    network = "simple-cnn" if found.size <= 32 else "resnet20" if found.size <= 64 else "resnet18"
    few = count < _UNUSED_FROM
    return {
        "train.model": network,
        "train.clients_per_round": 0.1 if many else None,
        "train.rounds": 100 if many else 30 if few else 50,
        "train.local_epochs": 10 if many else 1 if few else 5,
        "train.batch_size": 10 if many else 8 if few else 32,
        "train.central_steps": 400 if few else 5_000,
    }
