"""The sections of params.yaml on real images: what they are, and who holds which."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pipeline.section import Section
from pipeline.values import ClassNames, Colour, Count, Pixels, Positive, Seed, Words

Scheme = Literal["dirichlet", "labels", "quantity", "iid", "column", "assignment"]


class DataParams(Section):
    """The real images: a Hugging Face Hub id, or a folder of Parquet files or of one sub-folder per class."""

    retired = frozenset({"watch"})
    path: str
    revision: str | None = None
    config: str | None = None
    train: str = "train"
    test: str | None = "test"
    holdout: Annotated[float, Field(gt=0, lt=1, strict=True)] | None = None
    holdout_seed: Seed = 0
    image_column: str | None = None
    label_column: str | None = None
    group_column: str | None = None
    group_words: Words = Field(default_factory=dict)
    class_names: ClassNames = None
    image_size: Pixels | None = None
    background: Colour = "white"
    on_bad: Literal["refuse", "skip"] = "refuse"

    @model_validator(mode="after")
    def _images_to_test_on(self) -> Self:
        if (self.test is None) == (self.holdout is None):
            raise ValueError("set one of data.test (a split) and data.holdout (a share of the training split)")
        if self.test == self.train:
            raise ValueError("data.test is the training split: set data.test to null and data.holdout to 0.1, say")
        return self


class PartitionParams(Section):
    """Which client holds which real training image."""

    scheme: Scheme
    clients: Positive | None = None
    column: str | None = None
    assignment: str | None = None
    labels_per_client: Positive = 2
    alpha: Annotated[float, Field(gt=0)] = 0.5
    min_size: Count = 10
    max_images: Positive | None = None
    seed: Seed | None = None

    @model_validator(mode="after")
    def _scheme_has_what_it_needs(self) -> Self:
        """Whoever holds which image is given by a column or a file, or drawn for a number of clients."""
        key = self.scheme if self.scheme in ("column", "assignment") else "clients"
        if getattr(self, key) is None:
            raise ValueError(f"scheme {self.scheme} needs partition.{key}")
        return self

    @property
    def drawn_clients(self) -> int:
        """The number of clients of a scheme that draws who holds which image."""
        return self.clients or 0

    def seed_under(self, root: int) -> int:
        """Return the partition's own seed, or the root seed if it has none."""
        return root if self.seed is None else self.seed
