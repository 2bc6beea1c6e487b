"""params.yaml as frozen, typed sections; a key that no section knows is refused with the nearest one that exists.

Everything that changes results is here. Machine facts (devices, workers, the pool's place) are not: they are options
and environment variables, and never change a byte, unless ``dtype: auto`` resolves otherwise.
"""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from pipeline import bad_params, progress, seeds, yaml_file
from pipeline.errors import ParameterError
from pipeline.evaluate_params import EvaluateParams, JudgeParams
from pipeline.network_params import NetworkParams
from pipeline.section import Section
from pipeline.values import (
    ClassNames,
    Colour,
    Count,
    Names,
    Overrides,
    Pixels,
    Positive,
    RunName,
    Scales,
    Seed,
    Seeds,
    Share,
    StrictCount,
    StrictPositive,
)

__all__ = [
    "DataParams",
    "DeficitsParams",
    "EvaluateParams",
    "GateParams",
    "GenerateParams",
    "JudgeParams",
    "LoraParams",
    "NetworkParams",
    "Params",
    "PartitionParams",
    "ReportParams",
    "Rule",
    "Scheme",
    "Section",
    "TrainParams",
    "check",
    "load",
]

Scheme = Literal["dirichlet", "labels", "quantity", "iid", "column", "assignment"]
Rule = Literal["own-max", "global-mean", "global-share", "fixed", "same-total"]


_AUGMENT = {False: "none", True: "shift-mirror"}
"""What older files wrote as ``train.augment``."""


class DataParams(Section):
    """The real images: a Hugging Face Hub id, or a folder of Parquet files or of one sub-folder per class."""

    retired = frozenset({"watch"})
    path: str
    revision: str | None = None
    train: str = "train"
    test: str | None = "test"
    holdout: Annotated[float, Field(gt=0, lt=1, strict=True)] | None = None
    holdout_seed: Seed = 0
    image_column: str | None = None
    label_column: str | None = None
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


class DeficitsParams(Section):
    """How many images of each label a client lacks."""

    rule: Rule
    images_per_class: Count = 0
    ratio: Annotated[float, Field(ge=0, le=1)] = 1.0
    max_per_client: Count | None = None
    max_total: Count | None = None


class LoraParams(Section):
    """LoRA weights that are added to the model's."""

    path: str
    file: str | None = None
    revision: str | None = None
    scale: Annotated[float, Field(strict=True)] = 1.0


class GateParams(Section):
    """Which rendered images pass: those of which a judge says that they show their class."""

    judge: JudgeParams = JudgeParams()
    least_probability: Annotated[float, Field(ge=0, le=1)] = 0.5
    most_refusals: StrictCount | Annotated[float, Field(ge=0, lt=1, strict=True)] = 0.8


class GenerateParams(Section):
    """The diffusion model, how it is sampled and prompted, and how its images are stored."""

    retired = frozenset({"watch"})
    model: str
    config: str | None = None
    revision: str | None = None
    variant: str | None = None
    lora: tuple[LoraParams, ...] = ()
    scheduler: str | None = None
    scheduler_options: dict[str, Any] = Field(default_factory=dict)
    steps: Positive = 30
    guidance: Scales = (2.0,)
    prompts: str = "data/prompts/plain.yaml"
    class_overrides: Overrides = Field(default_factory=dict)
    negative_prompt: str = ""
    render_size: Pixels | None = None
    image_size: Pixels | None = None
    image_format: Literal["png", "jpeg", "webp"] = "png"
    quality: Annotated[int, Field(ge=1, le=100)] = 90
    dtype: Literal["auto", "float16", "bfloat16", "float32"] = "auto"
    batch_size: Positive = 16
    compile: bool = False
    sharing: Literal["own", "common"] = "own"
    gate: GateParams | None = None
    shard_megabytes: Positive = 500


class FillParams(Section):
    """How the fill ``transforms`` changes copies of a client's own images."""

    mirror: bool = False
    mixup: Annotated[float, Field(ge=0)] = 0.0


class TrainParams(Section):
    """The federated runs, and the central ones beside them."""

    fills: Names
    references: Names = ()
    alone: Names = ()
    algorithms: Names
    seeds: Seeds
    options: dict[RunName, dict[RunName, float]] = Field(default_factory=dict)
    model: str = "simple-cnn"
    norm: Literal["group", "batch"] = "group"
    rounds: Positive
    clients_per_round: StrictPositive | Share | None = None
    local_epochs: Positive = 1
    local_steps: Positive | None = None
    central_steps: Positive
    batch_size: Positive
    learning_rate: Annotated[float, Field(gt=0)]
    schedule: Literal["constant", "cosine", "exponential"] = "constant"
    decay: Annotated[float, Field(gt=0, le=1)] = 1.0
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.0
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    clip_norm: Annotated[float, Field(gt=0)] | None = None
    augment: Literal["none", "shift", "shift-mirror"] = "none"
    sampling: Literal["shuffled", "class-balanced"] = "shuffled"
    real_weight: Annotated[float, Field(gt=0, le=1000)] = 1.0
    weights: Literal["images", "real"] = "images"
    eval_every: Positive = 1
    last_rounds: Positive = 10
    stop_at: Annotated[float, Field(gt=0, le=1)] | None = None
    dropouts: str | None = None

    @field_validator("augment", mode="before")
    @classmethod
    def _augment_of_older_files(cls, given: object) -> object:
        return _AUGMENT[given] if isinstance(given, bool) else given

    @model_validator(mode="after")
    def _every_algorithm_has_options(self) -> Self:
        """Else the last of many runs could be the one whose hyper-parameters nobody chose."""
        chosen = (*self.algorithms, *(("fedavg",) if self.references else ()))
        if lacking := [name for name in chosen if name not in self.options]:
            raise ValueError(f"no train.options.{lacking[0]}: add {lacking[0]}: {{}} there")
        return self

    @model_validator(mode="after")
    def _alone_beside_federated(self) -> Self:
        """Clients that train alone are compared with the same clients in a federation."""
        if lacking := [name for name in self.alone if name not in self.fills]:
            raise ValueError(f"train.alone names {lacking[0]!r}, which train.fills does not: add it there")
        return self

    def all_fills(self) -> tuple[str, ...]:
        """Return the names of all fills, the references at the end."""
        return tuple(dict.fromkeys((*self.fills, *self.references)))

    def pairs(self) -> tuple[tuple[str, str], ...]:
        """Return each fill with each algorithm that it is trained with."""
        federated = ((fill, algorithm) for algorithm in self.algorithms for fill in self.fills)
        return tuple(dict.fromkeys((*federated, *((fill, "fedavg") for fill in self.references))))


class ReportParams(Section):
    """What the report derives from the histories."""

    fill: str = "synthetic"
    target_accuracy: Annotated[float, Field(gt=0, le=1)] | None = None
    images_per_class: Positive = 8


class Params(Section):
    """The whole of params.yaml; sections are named after the stages that read them."""

    seed: Seed
    data: DataParams
    partition: PartitionParams
    deficits: DeficitsParams
    generate: GenerateParams
    evaluate: EvaluateParams
    fill: FillParams
    train: TrainParams
    network: NetworkParams = NetworkParams()
    report: ReportParams

    @property
    def training_seed(self) -> int:
        """Return the root of the training seeds: the root seed, with the partition's own seed if it has one.

        So runs on two partitions share neither initial weights nor the choice of clients, and are two independent
        replicates.
        """
        own = self.partition.seed
        return self.seed if own is None else seeds.derive(self.seed, "partition", own)


def load(path: Path) -> Params:
    """Read and check params.yaml; raise ParameterError with the file, the key and the value at fault.

    A key that older files have is named on stderr, and read over; so is a value that is now written otherwise.
    """
    if not path.is_file():
        raise ParameterError("no parameters", path, "run in the project's root folder, where params.yaml is")
    document = yaml_file.load(path)
    read = check(document, path)
    for name, section in read:
        given = document.get(name, {})  # a section with a default may be missing
        for key in sorted(section.retired & given.keys() if isinstance(section, Section) else ()):
            progress.say(f"{path}: {name}.{key} is no longer used: delete it")
    if isinstance(augment := document["train"].get("augment"), bool):
        progress.say(f"{path}: train.augment: {str(augment).lower()} is now written {_AUGMENT[augment]}")
    return read


def check(document: object, path: Path) -> Params:
    """Return what the content of a params.yaml says; raise ParameterError with the file, the key and the value."""
    try:
        return Params.model_validate(document)
    except ValidationError as error:
        raise bad_params.explain(path, error, Params) from None
