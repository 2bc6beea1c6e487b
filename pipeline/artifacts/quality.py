"""The quality of the synthetic images: per class and in all, what was measured, beside what real images reach.

Usefulness decides the verdict, then label agreement; distances only diagnose.
"""

import json
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import ConfigDict, TypeAdapter, ValidationError

from pipeline import atomic
from pipeline.artifacts import parquet
from pipeline.errors import ArtifactError

MOST_PAIRS = 12
"""Synthetic images beside training images, and beside each other, in the picture of copies."""
Verdict = Literal["good", "doubtful", "bad", "unknown"]
Failure = Literal["poor generation", "distribution mismatch", "low diversity", "copies"]
_STRICT = ConfigDict(extra="forbid", allow_inf_nan=False)
_REDO = "run: dvc repro -f evaluate"


@dataclass(frozen=True)
class Spread:
    """A mean over repetitions, and their standard deviation (None for a single one)."""

    __pydantic_config__ = _STRICT

    mean: float
    std: float | None


@dataclass(frozen=True)
class Usefulness:
    """Accuracy, 0 to 1, on real validation images of the project's classifier, by what it was trained on.

    All three take equally many steps; ``synthetic`` and ``real`` see equally many images of each class, ``both`` sees
    the union. None: too few images to tell.
    """

    __pydantic_config__ = _STRICT

    synthetic: Spread | None
    real: Spread | None
    both: Spread | None


@dataclass(frozen=True)
class Distance:
    """A distance between synthetic and real images, beside its floor: real against other real ones, at the same N."""

    __pydantic_config__ = _STRICT

    name: str
    value: float
    floor: float | None
    """None: there were not twice as many real images."""
    std: float | None
    """Of ``value`` over subsets, where it is a mean of several."""
    images: int
    """N: images of each side."""
    better: Literal["higher", "lower"]


@dataclass(frozen=True)
class Copies:
    """How many of ``images`` synthetic images repeat others, or training images."""

    __pydantic_config__ = _STRICT

    images: int
    exact: int
    """Equal, pixel for pixel, to an earlier synthetic image."""
    near: int
    """Nearly equal to an earlier synthetic image, exact ones included."""
    compared: int
    """N: of each class as many synthetic images as real ones, in which shares of near repetitions are counted."""
    near_synthetic: float | None
    """Share of the N synthetic images that are nearly equal to an earlier one of them; more images repeat more."""
    near_real: float | None
    """Share of the N real ones, likewise: what is usual for this data set. None: there are none to compare."""
    training: int
    """Equal or nearly equal to a real training image."""
    close: float | None
    """Share that is closer to a training image than all but 1 % of other real images of its class; expected: 0.01."""


@dataclass(frozen=True)
class Flags:
    """How many of ``images`` synthetic images are conspicuous in themselves."""

    __pydantic_config__ = _STRICT

    images: int
    constant: int
    """Of one colour."""
    black: int
    """Of one colour, and that is nearly black."""
    faint: int
    """Levels span less than an eighth of the range."""
    redrawn: int
    """Drawn again at rendering, since the first try showed one colour or was not finite."""
    refused: int | None
    """Images that the gate refused and replaced; they are none of ``images``. None: there was no gate."""


@dataclass(frozen=True)
class Quality:
    """What is known of the synthetic images of one class, or of all."""

    __pydantic_config__ = _STRICT

    class_name: str
    """``all`` for all classes together."""
    images: int
    """Synthetic images that there are."""
    used: int
    """Those that were looked at."""
    reference: int
    """Real images that they were compared with."""
    validation: int
    """Real images on which classifier and judge were tested."""
    usefulness: Usefulness
    agreement: float | None
    """Share of the images looked at to which the judge gives the intended class."""
    judge_accuracy: float | None
    """The judge's own accuracy on the real validation images."""
    distances: tuple[Distance, ...]
    copies: Copies
    flags: Flags
    verdict: Verdict
    failures: tuple[Failure, ...]
    """What is wrong, where the verdict is not good."""
    why: str
    """The verdict's reason, in one sentence."""


@dataclass(frozen=True)
class Model:
    """A judge, an extractor or a classifier that the numbers depend on."""

    __pydantic_config__ = _STRICT

    name: str
    digest: str


@dataclass(frozen=True)
class Report:
    """The evaluation of all synthetic images of an experiment."""

    __pydantic_config__ = _STRICT

    sentence: str
    """The verdict on all of them."""
    whole: Quality
    classes: tuple[Quality, ...]
    """In order of label."""
    judge: Model
    extractor: Model
    classifier: str
    """What ``train.model`` names."""
    recipe: str
    """Digest of the recipe of the images."""
    real: str
    """Whose real images were used, in words."""
    seeds: int
    """Trainings of the classifier behind each accuracy."""
    steps: int
    """Steps of each training."""
    thresholds: dict[str, float]
    """What made numbers a verdict."""
    left_out: tuple[str, ...]
    """What was cut or could not be measured, in sentences."""

    def save(self, path: Path) -> None:
        """Write the report: the whole file or nothing."""
        atomic.write_text(path, json.dumps(asdict(self), indent=1) + "\n")


def load(path: Path) -> Report:
    """Read a report; raise ArtifactError if it is missing or damaged."""
    try:
        return _reader().validate_json(path.read_bytes())
    except FileNotFoundError:
        raise ArtifactError("no such file", path, "run: dvc repro evaluate") from None
    except (ValidationError, OSError) as error:
        raise ArtifactError(f"damaged ({parquet.short(error)})", path, _REDO) from None


@cache
def _reader() -> TypeAdapter[Report]:
    return TypeAdapter(Report)
