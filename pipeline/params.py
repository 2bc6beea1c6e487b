"""params.yaml as frozen, typed sections; a key that no section knows is refused with the nearest one that exists.

Everything that changes results is here. Machine facts (devices, workers, the pool's place) are not: they are options
and environment variables, and never change a byte, unless ``dtype: auto`` resolves otherwise.
"""

import difflib
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from pipeline import yaml_file
from pipeline.errors import ParameterError

Scheme = Literal["dirichlet", "labels", "quantity", "iid"]
Rule = Literal["own-max", "global-mean", "global-share", "fixed"]

Positive = Annotated[int, Field(ge=1)]
Count = Annotated[int, Field(ge=0)]
StrictPositive = Annotated[int, Field(ge=1, strict=True)]
Share = Annotated[float, Field(gt=0, le=1, strict=True)]


def _distinct(given: tuple[Any, ...]) -> tuple[Any, ...]:
    if len(set(given)) < len(given):
        raise ValueError("equal entries are equal runs: write each one once")
    return given


Names = Annotated[tuple[str, ...], AfterValidator(_distinct)]
Seeds = Annotated[tuple[int, ...], Field(min_length=1), AfterValidator(_distinct)]


def _scales(given: object) -> object:
    """Return guidance scales as a list: one number stands for itself, low, high and step for all from low to high."""
    match given:
        case int() | float() if not isinstance(given, bool):
            return [given]
        case list() | tuple():
            return given
        case {"low": int() | float() as low, "high": int() | float() as high, "step": int() | float() as step, **more}:
            count = (high - low) / step + 1 if step > 0 else 0
            if more or not 2 <= count + 1e-9 < _MOST_SCALES:
                raise ValueError(f"the step of a range must give 2 to {_MOST_SCALES} scales from low to high")
            return [round(low + i * step, 9) for i in range(int(count + 1e-9))]
    raise ValueError("write a number, a list of numbers, or {low: 1, high: 5, step: 0.5}")


def overrides(given: object) -> dict[str, str] | str:
    """Return words by class name, or the path of a file that has them; raise ValueError for anything else."""
    if isinstance(given, str):
        return given
    if not isinstance(given, dict):
        raise ValueError("write {class name: words}, or the path of a YAML, JSON or CSV file with them")
    for name, words in given.items():
        if not isinstance(name, str | int) or isinstance(name, bool):
            raise ValueError(f"YAML reads the class name {name!r} as another value: write it in quotes")
        if not isinstance(words, str) or not words.strip():
            raise ValueError(f"the words for class {name!r} are {words!r}: write a text, in quotes if it is a number")
    return {str(name): words for name, words in given.items()}


_MOST_SCALES = 100
Scale = Annotated[float, Field(ge=0, strict=True)]
Overrides = Annotated[dict[str, str] | str, BeforeValidator(overrides)]
Scales = Annotated[tuple[Scale, ...], BeforeValidator(_scales), Field(min_length=1, max_length=_MOST_SCALES)]


class Section(BaseModel):
    """One section of params.yaml."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class DataParams(Section):
    """The real images: a Hugging Face Hub id, or a folder of Parquet files or of one sub-folder per class."""

    path: str
    watch: str
    revision: str | None = None
    train: str = "train"
    test: str = "test"
    image_column: str | None = None
    label_column: str | None = None
    class_names: tuple[str, ...] | None = None
    image_size: Positive | None = None


class PartitionParams(Section):
    """Which client holds which real training image."""

    scheme: Scheme
    clients: Positive
    labels_per_client: Positive = 2
    alpha: Annotated[float, Field(gt=0)] = 0.5
    min_size: Count = 10
    max_images: Positive | None = None
    seed: int | None = None

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


class GenerateParams(Section):
    """The diffusion model, how it is sampled and prompted, and how its images are stored."""

    model: str
    watch: str
    revision: str | None = None
    variant: str | None = None
    scheduler: str | None = None
    scheduler_options: dict[str, Any] = {}
    steps: Positive = 30
    guidance: Scales = (2.0,)
    prompts: str = "data/prompts/plain.yaml"
    class_overrides: Overrides = {}
    negative_prompt: str = ""
    render_size: Positive | None = None
    image_size: Positive | None = None
    image_format: Literal["png", "jpeg", "webp"] = "png"
    quality: Annotated[int, Field(ge=1, le=100)] = 90
    dtype: Literal["auto", "float16", "bfloat16", "float32"] = "auto"
    batch_size: Positive = 16
    compile: bool = False
    sharing: Literal["own", "common"] = "own"
    shard_megabytes: Positive = 500


class TrainParams(Section):
    """The federated runs, and the central ones beside them."""

    fills: Names
    references: Names = ()
    algorithms: Names
    seeds: Seeds
    options: dict[str, dict[str, float]] = {}
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
    augment: bool = False
    eval_every: Positive = 1
    stop_at: Annotated[float, Field(gt=0, le=1)] | None = None

    @model_validator(mode="after")
    def _every_algorithm_has_options(self) -> Self:
        """DVC watches ``train.options.NAME`` of each run, and would stop at a missing one only when its turn comes."""
        chosen = (*self.algorithms, *(("fedavg",) if self.references else ()))
        if lacking := [name for name in chosen if name not in self.options]:
            raise ValueError(f"no train.options.{lacking[0]}: add {lacking[0]}: {{}} there")
        return self


class ReportParams(Section):
    """What the report derives from the histories."""

    fill: str = "synthetic"
    target_accuracy: Annotated[float, Field(gt=0, le=1)]
    images_per_class: Positive = 8


class Params(Section):
    """The whole of params.yaml; sections are named after the stages that read them."""

    seed: int
    data: DataParams
    partition: PartitionParams
    deficits: DeficitsParams
    generate: GenerateParams
    train: TrainParams
    report: ReportParams


def load(path: Path) -> Params:
    """Read and check params.yaml; raise ParameterError with the file, the key and the value at fault."""
    if not path.is_file():
        raise ParameterError("no parameters", path, "run in the project's root folder, where params.yaml is")
    try:
        return Params.model_validate(yaml_file.load(path))
    except ValidationError as error:
        raise _explain(path, error) from None


def _explain(path: Path, error: ValidationError) -> ParameterError:
    """Turn the first of pydantic's complaints into one line."""
    first = error.errors(include_url=False)[0]
    keys = [str(key) for key in first["loc"]]
    where = f"{path}, {'.'.join(keys) or 'the whole file'}"
    if first["type"] == "extra_forbidden":
        return ParameterError("unknown parameter", where, _nearest(keys))
    if first["type"] == "missing":
        return ParameterError("missing parameter", where, "add it; the shipped params.yaml explains each one")
    return ParameterError("bad value", f"{where} = {first['input']!r}", first["msg"])


def _nearest(keys: list[str]) -> str:
    section: type[BaseModel] = Params
    for key in keys[:-1]:
        annotation = section.model_fields[key].annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            section = annotation
    known = list(section.model_fields)
    close = difflib.get_close_matches(keys[-1], known, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else f"valid here: {', '.join(known)}"
