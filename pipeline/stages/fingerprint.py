"""Stages ``fingerprint-images`` and ``fingerprint-model``: say what the things are that params.yaml only names.

The first one looks at the images, the words for their classes, and recorded drop-outs; the second one at the model,
its prompts, and who judges the images.

DVC runs both always; they are cheap, since digests of files are remembered. The other stages depend on what they write
and not on the places themselves: changed content runs them, and the same content at another place does not.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from pipeline import atomic, judges, progress
from pipeline.artifacts import dropouts
from pipeline.data import images
from pipeline.data.images import Images
from pipeline.errors import ParameterError, PipelineError
from pipeline.evaluation.extractors import identity
from pipeline.generation import model, words
from pipeline.generation.gate import WHERE
from pipeline.params import Params, PartitionParams
from pipeline.workspace import Workspace

IMAGES, WORDS, DROPOUTS, MODEL, JUDGE = "images", "words", "dropouts", "model", "judge"
STAGES = {"fingerprint-images": (IMAGES, WORDS, DROPOUTS), "fingerprint-model": (MODEL, JUDGE)}
_FILE = "file"  # the column of the files' names, where images are files
Print = Mapping[str, Any]


def run(workspace: Workspace, params: Params, of: str) -> None:
    """Write the fingerprint of the images, the words, the drop-outs, the model or the judge.

    Raises ArtifactError, DataError, GenerationError or ParameterError if that cannot be found; an earlier fingerprint
    is then kept.
    """
    place, before = workspace.fingerprint(of), _earlier(workspace.fingerprint(of))
    for text in _PLACES[of](params):
        _link(workspace, text)
    try:
        found = json.loads(json.dumps(_PRINTS[of](workspace, params)))
    except PipelineError as error:
        if before is None:
            raise
        stage = next(name for name, kinds in STAGES.items() if of in kinds)
        fix = f"{error.fix}; or keep the results of what is not here: dvc freeze {stage}"
        raise type(error)(error.what, error.where, fix) from error
    atomic.write_text(place, json.dumps(found, indent=2, sort_keys=True) + "\n")
    progress.say(f"fingerprint of the {of}: {_news(found, before)}")


def digest(workspace: Workspace, params: Params, of: str) -> str:
    """Return a digest of the fingerprint of one of these; nothing is written.

    Raises ArtifactError, DataError, GenerationError or ParameterError if what it is of cannot be found.
    """
    return hashlib.sha256(json.dumps(_PRINTS[of](workspace, params), sort_keys=True).encode()).hexdigest()[:16]


def _news(found: Print, before: Print | None) -> str:
    if before is None:
        return "written"
    changed = [key for key in sorted({**found, **before}) if found.get(key) != before.get(key)]
    return f"{', '.join(changed)} changed" if changed else "as before"


def _images(workspace: Workspace, params: Params) -> Print:
    """Return what the real images are: their content, what ``data`` makes of them, and whose they are."""
    chosen = params.data
    train = images.load(chosen, chosen.train, workspace.at(""))
    return {
        "train": train.fingerprint,
        "test": images.load(chosen, chosen.test, workspace.at("")).fingerprint,
        **_owners(workspace, params.partition, train.whole()),
    }


def _owners(workspace: Workspace, params: PartitionParams, split: Images) -> Print:
    """Return what says whose each image is where that is not drawn: a column, or a file and the names that it uses."""
    if params.scheme == "column" and params.column is not None:
        return {"column": _digest(split.column(params.column))}
    if params.scheme == "assignment" and params.assignment is not None:
        place = workspace.at(params.assignment)
        names: Iterable[object] = split.column(_FILE) if _FILE in split.columns else ()
        try:
            return {"assignment": atomic.sha256(place), "files": _digest(names)}
        except OSError as error:
            where = f"params.yaml, partition.assignment = {params.assignment}"
            raise ParameterError(f"cannot be read ({error.strerror})", where, "name a .csv or .parquet file") from None
    return {}


def _digest(values: Iterable[object]) -> str:
    return hashlib.sha256(json.dumps([str(value) for value in values]).encode()).hexdigest()


def _model(workspace: Workspace, params: Params) -> Print:
    """Return the recipe, which has content where ``generate`` has places, but for what other stages decide.

    If there is a gate, it is an entry beside those of the recipe.
    """
    chosen = params.generate
    found = model.resolve(workspace, chosen, seed=0, image_size=0, dtype=chosen.dtype).recipe.as_dict()
    if chosen.gate is None:
        return found
    judge = judges.identity(workspace, chosen.gate.judge, WHERE)
    bounds = {"least_probability": chosen.gate.least_probability, "most_refusals": chosen.gate.most_refusals}
    return {**found, "gate": {"judge": judge, **bounds}}


def _judge(workspace: Workspace, params: Params) -> Print:
    """Return what judges the images, and what distances see of them: content or commits in place of places."""
    chosen = params.evaluate
    judge = judges.identity(workspace, chosen.judge)
    return {"judge": judge, "extractor": identity(chosen.extractor, chosen.extractor_revision, workspace.at(""))}


def _words(workspace: Workspace, params: Params) -> Print:
    """Return the words that the user gives classes, in params.yaml or in a file."""
    return words.read(workspace, params.generate)


def _dropouts(workspace: Workspace, params: Params) -> Print:
    """Return which updates do not arrive, whatever the order and the form of the lines."""
    if params.train.dropouts is None:
        return {"dropouts": None}
    return {"dropouts": _digest(sorted(set(map(str, dropouts.load(workspace.at(params.train.dropouts))))))}


_PRINTS: Mapping[str, Callable[[Workspace, Params], Print]] = {
    IMAGES: _images,
    WORDS: _words,
    DROPOUTS: _dropouts,
    MODEL: _model,
    JUDGE: _judge,
}
_PLACES: Mapping[str, Callable[[Params], tuple[str, ...]]] = {
    IMAGES: lambda params: (params.data.path, params.partition.assignment or ""),
    WORDS: lambda params: (
        (params.generate.class_overrides,) if isinstance(params.generate.class_overrides, str) else ()
    ),
    DROPOUTS: lambda params: (params.train.dropouts or "",),
    JUDGE: lambda params: (
        params.evaluate.judge.model.removeprefix("clip:"),
        params.evaluate.extractor.partition(":")[2],
    ),
    MODEL: lambda params: (
        params.generate.model,
        params.generate.prompts,
        params.generate.config or "",
        *(one.path for one in params.generate.lora),
        params.generate.gate.judge.model.removeprefix("clip:") if params.generate.gate else "",
    ),
}
"""The texts that can name a file or folder below the project's folder."""


def _earlier(place: Path) -> Print | None:
    """Return the fingerprint that was written last, or None if there is none or it is damaged."""
    try:
        read = json.loads(place.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return read if isinstance(read, dict) else None


def _link(workspace: Workspace, text: str) -> None:
    """Link what git ignores into the temporary folder of a DVC experiment, which has only what git tracks."""
    main, part = Path(os.environ.get("DVC_ROOT", "")).resolve(), Path(text)
    temporary = (main / ".dvc/tmp") in workspace.root.resolve().parents
    if not text or not temporary or part.is_absolute() or ".." in part.parts:
        return
    here, there = workspace.at(text), main / part
    if there.exists() and not os.path.lexists(here):
        here.parent.mkdir(parents=True, exist_ok=True)
        here.symlink_to(there)
        progress.say(f"{text} is that of {main}, since git does not track it")
