"""The gate as artifacts name it: which judge looked at images, what it gave each one, and which of them pass."""

import hashlib
import json
from dataclasses import dataclass
from typing import Annotated

from pydantic import ConfigDict, Field

_STRICT = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)
LONGEST = 100
"""Characters of a judge's digest."""
_LONGEST_NAME = 1_000
DIGITS = 6
"""Decimals of a probability that are kept: beyond them, judges differ from device to device."""

Probability = Annotated[float, Field(ge=0, le=1)]


@dataclass(frozen=True, slots=True)
class Score:
    """What a judge gives one image."""

    intended: int
    """The label of the class that the image is meant to show."""
    label: int
    """The label that the judge finds most probable."""
    probability: float
    """The probability of the intended label, 0 to 1, rounded."""

    def check(self, classes: int) -> None:
        """Raise ValueError unless this is a score among so many classes."""
        of_types = (type(self.intended), type(self.label), type(self.probability)) == (int, int, float)
        if not of_types or not (0 <= self.intended < classes and 0 <= self.label < classes):
            raise ValueError(f"a score with labels that are none of {classes} classes")
        if not 0 <= self.probability <= 1:
            raise ValueError(f"a score with the probability {self.probability}")


@dataclass(frozen=True)
class Gate:
    """What decides whether an image passes: part of what a shard is, and of no image's recipe."""

    __pydantic_config__ = _STRICT

    judge: Annotated[str, Field(min_length=1, max_length=LONGEST)]
    """The judge's digest, which decides every score."""
    name: Annotated[str, Field(max_length=_LONGEST_NAME)]
    """What the judge is called, for readers; it decides nothing."""
    least_probability: Probability

    def accepts(self, score: Score) -> bool:
        """Return whether the judge's label is the intended one, and at least so probable."""
        return score.label == score.intended and score.probability >= self.least_probability

    @property
    def digest(self) -> str:
        """The gate's identity, 16 hexadecimal digits."""
        return hashlib.sha256(json.dumps([self.judge, self.least_probability]).encode()).hexdigest()[:16]
