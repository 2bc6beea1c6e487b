"""Command ``evaluate --compare``: two settings of the generator side by side, before images are rendered for all."""

import json
import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pipeline import atomic, params, progress, yaml_file
from pipeline.artifacts import marks, partition
from pipeline.artifacts.quality import Report
from pipeline.data import decoded
from pipeline.errors import ParameterError
from pipeline.evaluation import sides
from pipeline.evaluation.evaluate import Subject, evaluate
from pipeline.evaluation.flags import Remarks
from pipeline.evaluation.sides import Reference, Side
from pipeline.generation import samples
from pipeline.params import Params
from pipeline.reporting import contact_sheet
from pipeline.workspace import Workspace

_WHERE = "--compare"
_CHANGEABLE = "generate"
_SHOWN = 8
"""Images of each class and side in the picture."""


@dataclass(frozen=True)
class Setting:
    """One side: what it is called, and the parameters that it has."""

    title: str
    workspace: Workspace
    params: Params


@dataclass(frozen=True)
class Compared:
    """Both sides' reports, and the files that were written."""

    sides: tuple[tuple[str, Report], ...]
    sheet: Path
    numbers: Path


def compare(workspace: Workspace, chosen: Params, devices: list[str], given: Sequence[str], images: int) -> Compared:
    """Render ``images`` of each class with two settings, through the pool, and evaluate both in the same way.

    ``given`` has two settings such as ``generate.guidance=3 generate.steps=20``, or two folders with a params.yaml. The
    real images, the judge and the seeds are those of the workspace. No file of a stage is changed: the picture and the
    numbers are ``data/compare.png`` and ``data/compare.json``. Raises ParameterError for a setting that cannot be used.
    """
    if images < chosen.evaluate.least_images:
        fix = f"take at least {chosen.evaluate.least_images}, or lower evaluate.least_images"
        raise ParameterError("too few images to measure", f"--images {images}", fix)
    settings = [setting(workspace, chosen, text) for text in given]
    split, data = partition.load(workspace.partition), decoded.open_data(workspace, chosen.data)
    split.check_source(data.fingerprint, chosen.data.path)
    real = sides.reference(data, split, images, chosen.evaluate.against)
    subjects = [_subject(one, real, devices, images) for one in settings]
    found = []
    for one, (subject, words) in zip(settings, subjects, strict=True):
        progress.say(f"compare: {one.title}")
        report, _ = evaluate(workspace, chosen, real, subject, words, devices[0])
        found.append((one.title, report))
    sheet = _sheet(real, [one.title for one in settings], [subject for subject, _ in subjects])
    with atomic.replacing(workspace.comparison("png")) as temporary:
        sheet.save(temporary, "PNG", pnginfo=marks.png(marks.COMPOSITE))
    document = [{"setting": title, **asdict(report)} for title, report in found]
    atomic.write_text(workspace.comparison("json"), json.dumps(document, indent=1) + "\n")
    return Compared(tuple(found), workspace.comparison("png"), workspace.comparison("json"))


def setting(workspace: Workspace, chosen: Params, text: str) -> Setting:
    """Return what a text asks for: the parameters of a folder, or those of the workspace with changed values.

    Raises ParameterError for a text that is neither, and for values that are not the generator's: they would change
    the measure, and not the images.
    """
    folder = workspace.at(text)
    if folder.is_dir():
        other = Workspace(folder, workspace.cache)
        return Setting(text, other, params.load(other.params))
    values: dict[str, Any] = {}
    try:
        parts = shlex.split(text)
    except ValueError as error:
        raise ParameterError(f"a quote without its end ({error})", f"{_WHERE} {text}", "close it") from None
    for part in parts:
        key, sign, value = part.partition("=")
        if not sign or not key.startswith(f"{_CHANGEABLE}."):
            fix = f"write {_CHANGEABLE}.guidance=3, several in quotes with blanks between them, or a folder"
            raise ParameterError(f"{part!r} is no setting of {_CHANGEABLE}", _WHERE, fix)
        values[key.removeprefix(f"{_CHANGEABLE}.")] = yaml_file.parse(value, f"{_WHERE} {part}")
    document = chosen.model_dump()
    document[_CHANGEABLE] = {**document[_CHANGEABLE], **values}
    return Setting(text, workspace, params.check(document, Path(f"{_WHERE} {text}")))


def _subject(one: Setting, real: Reference, devices: list[str], images: int) -> tuple[Subject, tuple[str, ...]]:
    """Render one side's images; return them, and what prompts call the classes."""
    made = samples.render(one.workspace, one.params, real.split, devices, images)
    side = Side.of(made.images, np.arange(len(made.images)), len(real.class_names))
    remarks = Remarks.of(made.images.labels, made.flags, made.retries.tolist(), len(real.class_names))
    return Subject(side, remarks, made.recipe), made.words


def _sheet(real: Reference, titles: Sequence[str], subjects: Sequence[Subject]) -> Image.Image:
    """Return a row for each class: real images, then those of both sides."""
    groups = (real.reference, *(subject.side for subject in subjects))
    rows = {
        name: [[Image.fromarray(side.images.pixels[row]) for row in side.by_class[label][:_SHOWN]] for side in groups]
        for label, name in enumerate(real.class_names)
    }
    heads = ["real", *(f"{letter}: {title}" for letter, title in zip("AB", titles, strict=True))]
    return contact_sheet.draw(rows, heads)
