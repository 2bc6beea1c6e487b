"""The accuracy of models that clients train alone, each on what it holds, without a federation."""

import csv
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from pipeline.artifacts import history
from pipeline.errors import ArtifactError

_TABLE = "alone.csv"
_REDO = "run: dvc repro -f train"


@dataclass(frozen=True, slots=True)
class Alone:
    """One client's model, trained alone for all the samples that the client trains on in a federated run."""

    fill: str
    budget: str
    """``epochs`` or ``steps``."""
    seed: int
    client: int
    own: float | None
    """Accuracy by class on the test images, weighted by the client's own real labels (``history.for_clients``); None if
    no test image has one of its labels, or it has no real image.
    """
    whole: float
    """Accuracy on the whole test split."""


def save(folder: Path, found: Sequence[Alone]) -> None:
    """Write ``alone.csv``, a line for each model; a client that has nothing to train on has none."""
    with history.writing(folder / _TABLE, [field.name for field in fields(Alone)]) as writer:
        writer.writerows(map(astuple, found))


def load(folder: Path) -> list[Alone]:
    """Read what ``save`` wrote; raise ArtifactError if the file is missing or damaged, or names a model twice."""
    path, found = folder / _TABLE, list[Alone]()
    with history.reading(path), path.open(newline="", encoding="utf-8") as file:
        lines = csv.DictReader(file, strict=True)
        if lines.fieldnames != [field.name for field in fields(Alone)]:
            raise ValueError(f"columns {lines.fieldnames}")
        for line in lines:
            own = float(line["own"]) if line["own"] else None
            numbers = int(line["seed"]), int(line["client"])
            found.append(Alone(line["fill"], line["budget"], *numbers, own, float(line["whole"])))
    if len({(one.fill, one.budget, one.seed, one.client) for one in found}) < len(found):
        raise ArtifactError("names a client's model twice", path, _REDO)
    return found
