"""The section ``evaluate`` of params.yaml, and the judge, which the gate has too."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from pipeline.section import Section
from pipeline.values import Overrides, Positive, Seeds, distinct

Distances = Literal["clipped-density", "clipped-coverage", "kid", "sliced-wasserstein", "frechet", "cmmd"]


class JudgeParams(Section):
    """A classifier that says which class an image shows."""

    model: str = "trained"
    """``trained``, a folder or Hub id of a transformers image classifier, or ``clip:`` and one of a CLIP model."""
    revision: str | None = None
    labels: Overrides = Field(default_factory=dict)
    """What the model calls a class, by class name; for CLIP the words of the class in its sentence."""

    @model_validator(mode="after")
    def _labels_are_written_here(self) -> Self:
        if isinstance(self.labels, str):
            raise ValueError("write {class name: label}")
        return self


class Bounds(Section):
    """From where on a share is good, and below which it is bad; doubtful in between."""

    bad: Annotated[float, Field(ge=0)]
    good: Annotated[float, Field(ge=0)]

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.bad > self.good:
            raise ValueError("bad is above good: exchange them")
        return self


Part = Annotated[float, Field(ge=0, le=1)]


class EvaluateParams(Section):
    """How the synthetic images are measured, and which numbers are good."""

    judge: JudgeParams = JudgeParams()
    extractor: str = "trained"
    extractor_revision: str | None = None
    distances: Annotated[tuple[Distances, ...], AfterValidator(distinct)]
    images_per_class: Annotated[int, Field(ge=2, le=10**9)] | None = 100
    least_images: Annotated[int, Field(ge=6, le=10**9)] = 20
    against: Positive = 2000
    seeds: Seeds = (1, 2, 3)
    steps: Positive = 400
    useful: Bounds = Bounds(bad=0.7, good=0.9)
    agreeing: Bounds = Bounds(bad=0.7, good=0.9)
    least_density: Part = 0.5
    least_coverage: Part = 0.5
    most_repeated: Part = 0.1
    most_copied: Part = 0.05
