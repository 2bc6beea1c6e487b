"""Load the diffusion model that a recipe asks for, and say what of the recipe it cannot use. Loads torch, diffusers."""

import inspect
import logging
import re
import shutil
import tempfile
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import diffusers
import torch
from diffusers import AutoPipelineForText2Image, DiffusionPipeline  # import every pipeline before workers are forked
from diffusers.loaders.single_file_utils import SingleFileComponentError
from diffusers.pipelines.auto_pipeline import AUTO_TEXT2IMAGE_PIPELINES_MAPPING, _get_task_class
from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.errors import HfHubHTTPError
from safetensors import SafetensorError
from torch._dynamo.exc import TorchDynamoException

from pipeline import progress
from pipeline.errors import GenerationError, ParameterError, PipelineError
from pipeline.generation import adapters, weights
from pipeline.generation.model import ResolvedModel
from pipeline.generation.recipe import Recipe

_MISTAKES = (ValueError, TypeError, LookupError, AttributeError, NotImplementedError, AssertionError)
"""What diffusers raises for values that it cannot use. Other errors are faults of ours and keep their traceback."""
_TRANSPORT: type[Exception] = HfHubHTTPError.__bases__[0]
"""What the Hub's client raises if the Hub refuses something or cannot be reached; the library behind it may change."""


def explained(error: Exception, recipe: Recipe, device: torch.device) -> PipelineError | None:
    """Return what to raise for an error in the pipeline that a user can fix, None for any other.

    Memory or a compiler was missing; or the place where it was raised shows which parameter has an unusable value.
    """
    if isinstance(error, TorchDynamoException):
        fix = "install a C++ compiler (Triton on CUDA), or set it to false"
        return GenerationError(str(error).partition("\n")[0], "params.yaml, generate.compile", fix)
    if isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error):
        fix = "lower generate.render_size, or generate.batch_size (part of the recipe: all images are rendered again)"
        where = f"params.yaml, generate.batch_size = {recipe.batch_size}"
        return GenerationError(f"out of memory on {device}", where, fix)
    if isinstance(error, RuntimeError) and "not implemented for '" in str(error):
        what = f"{device} cannot compute in this ({_first_line(error)})"
        return ParameterError(what, _named(recipe, "dtype"), "choose float32, or bfloat16")
    return _mistaken(error, recipe) if isinstance(error, _MISTAKES) else None


def _mistaken(error: Exception, recipe: Recipe) -> PipelineError | None:
    """Return what to raise for an error of diffusers' own, judged by where it was raised."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    if any(frame.f_code.co_name == "check_inputs" for frame in frames):
        fix = "choose a size that it can, or null for the model's own"
        return ParameterError(f"the model cannot draw this ({error})", _named(recipe, "render_size"), fix)
    if any(frame.f_globals["__name__"].startswith("diffusers.schedulers") for frame in frames):
        return _unusable(recipe, error)
    return None


def check_size(images: torch.Tensor, recipe: Recipe) -> None:
    """Raise ParameterError unless images (N, 3, H, W) have the size asked for: some pipelines round it silently."""
    height, width = images.shape[-2:]
    if recipe.render_size not in (None, height) or recipe.render_size not in (None, width):
        what = f"the model draws {width} x {height} pixels instead"
        raise ParameterError(what, _named(recipe, "render_size"), "choose a size that it can, or null for its own")


def _unusable(recipe: Recipe, error: Exception) -> ParameterError:
    where = _named(recipe, "steps", "scheduler", "scheduler_options")
    return ParameterError(f"the scheduler cannot do this ({error})", where, "choose other values")


def _named(recipe: Recipe, *names: str) -> str:
    """Return where parameters are, with the values of those that are set."""
    values = {name: getattr(recipe, name) for name in names}
    return "params.yaml, " + ", ".join(f"generate.{name} = {value!r}" for name, value in values.items() if value)


def load(model: ResolvedModel) -> Any:
    """Load the pipeline with the recipe's LoRA weights and scheduler, in its arithmetic.

    It comes without its safety checker, which blacks out harmless pictures and so spoils counts. What costs little is
    checked first, since the weights may take minutes.
    """
    recipe = model.recipe
    try:
        settings = model.folder(*(f"*{ending}" for ending in weights.CONFIGURATION))
        index = _checked(model, settings)
        scheduler = _scheduler_of(recipe, index, settings)
        with _telling_of_random_weights():
            pipeline = _from_single_file(model, index, settings) if model.config else _from_pretrained(model, index)
        if lacking := _empty(pipeline):
            raise ValueError(f"the weights of {lacking} are missing")
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise GenerationError(f"cannot load the model ({error})", model.model, "check generate.model") from error
    if scheduler is not None:
        pipeline.scheduler = scheduler
    adapters.add(pipeline, model.lora, recipe)
    return pipeline


def _checked(model: ResolvedModel, settings: Path) -> dict[str, Any]:
    """Return the index of the model; raise an error if its weights or kind are not what the recipe needs."""
    index: dict[str, Any] = DiffusionPipeline.load_config(settings)
    if model.config is None and model.revision is not None:
        weights.check(index, _published(model.model, model.revision), model.recipe.variant, model.model)
    kind = _kind(index)
    accepted = inspect.signature(kind.__call__).parameters
    if model.recipe.negative_prompt and not {"negative_prompt", "negative_prompt_embeds"} & set(accepted):
        what = f"a model of this kind ({kind.__name__}) reads no negative prompt"
        raise ParameterError(what, _named(model.recipe, "negative_prompt"), 'set it to ""')
    if model.recipe.render_size and "height" not in accepted:
        what = f"a model of this kind ({kind.__name__}) has one size only"
        raise ParameterError(what, _named(model.recipe, "render_size"), "set it to null")
    if model.lora and not hasattr(kind, "load_lora_weights"):
        what = f"diffusers adds no LoRA weights to a model of this kind ({kind.__name__})"
        raise ParameterError(what, "params.yaml, generate.lora", "set it to []")
    return index


def _kind(index: Mapping[str, Any]) -> Any:
    """Return the class of pipeline that draws images from text with a model; raise ValueError if there is none."""
    return _get_task_class(AUTO_TEXT2IMAGE_PIPELINES_MAPPING, index["_class_name"])


def _published(repository: str, commit: str) -> list[str]:
    """Return the files of a Hub repository; offline, those that are in the local cache."""
    try:
        return HfApi().list_repo_files(repository, revision=commit)
    except (_TRANSPORT, OSError):
        folder = Path(snapshot_download(repository, revision=commit, local_files_only=True))
        return [file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()]


def _scheduler_of(recipe: Recipe, index: Mapping[str, Any], settings: Path) -> Any:
    """Return the scheduler that the recipe asks for, None for the model's own; raise ParameterError if it cannot be.

    The steps are tried, since many schedulers say only then which options do not go together.
    """
    library, name = index.get("scheduler") or (None, None)
    own: Any = getattr(diffusers, str(name), None) if library == "diffusers" else None
    if own is None:
        return None
    current = own.from_pretrained(settings, subfolder="scheduler")
    changed = bool(recipe.scheduler or recipe.scheduler_options)
    scheduler = _scheduler(current, recipe) if changed else current
    most = scheduler.config.get("num_train_timesteps")
    if most and recipe.steps > most:  # some schedulers would say so only after the last step
        raise ParameterError(f"the scheduler has {most} steps at most", _named(recipe, "steps"), "choose fewer")
    if not scheduler.config.get("use_dynamic_shifting"):
        try:
            scheduler.set_timesteps(recipe.steps)
        except _MISTAKES as error:
            raise _unusable(recipe, error) from error
    return type(scheduler).from_config(scheduler.config) if changed else None


def _from_pretrained(model: ResolvedModel, index: Mapping[str, Any]) -> Any:
    options: dict[str, Any] = {"variant": model.recipe.variant, "use_safetensors": True, **_without_checker(index)}
    place: Any = model.model
    if model.revision is not None:  # fetched apart: when diffusers loads by id it asks the Hub with retired arguments
        place = DiffusionPipeline.download(place, revision=model.revision, **options)
    dtype = getattr(torch, model.recipe.dtype)
    return AutoPipelineForText2Image.from_pretrained(place, dtype=dtype, local_files_only=True, **options)


def _from_single_file(model: ResolvedModel, index: Mapping[str, Any], settings: Path) -> Any:
    """Load a checkpoint with the configuration of a folder or Hub model, of which no weights are read."""
    kind = _kind(index)
    if not hasattr(kind, "from_single_file"):
        what = f"diffusers loads no single file as a model of this kind ({kind.__name__})"
        raise GenerationError(what, model.model, "set generate.model to a diffusers folder or a Hub id")
    with tempfile.TemporaryDirectory() as bare:  # diffusers would load pickles that lie beside the configuration
        for file in weights.configuration_files(settings):
            copy = Path(bare) / file.relative_to(settings)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, copy)
        dtype = getattr(torch, model.recipe.dtype)
        options = {"config": bare, "dtype": dtype, "local_files_only": True, **_without_checker(index)}
        try:
            return kind.from_single_file(model.model, **options)
        except (SingleFileComponentError, RuntimeError, *_MISTAKES) as error:
            what = f"the file and its configuration do not fit each other ({_first_line(error)})"
            fix = f"check generate.config, now {model.settings}; the file must hold all parts of the model"
            raise GenerationError(what, model.model, fix) from error


@contextmanager
def _telling_of_random_weights() -> Iterator[None]:
    """Say which weights of a text encoder no file had: transformers draws them at random, and only logs it."""
    lost: list[str] = []

    class Report(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lost.extend(re.findall(r"^(\S.*?) +\| (?:\x1b\[\d+m)*MISSING", record.getMessage(), re.MULTILINE))

    logger, report = logging.getLogger("transformers.modeling_utils"), Report()
    level, passes = logger.level, logger.propagate
    logger.addHandler(report)
    logger.setLevel(logging.WARNING)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(report)
        logger.setLevel(level)
        logger.propagate = passes
    if lost:
        more = f" and {len(lost) - 1} more" if len(lost) > 1 else ""
        progress.say(f"note: the model lacks {lost[0]}{more}: drawn at random, so images can differ from run to run")


def _empty(pipeline: Any) -> str | None:
    """Return the name of a weight that has no value, since no file had one; None if there is no such weight."""
    parts = {name: part for name, part in pipeline.components.items() if isinstance(part, torch.nn.Module)}
    named = ((f"{name}.{weight}", value) for name, part in parts.items() for weight, value in part.named_parameters())
    return next((name for name, value in named if value.is_meta), None)


def _without_checker(index: Mapping[str, Any]) -> dict[str, Any]:
    return {"safety_checker": None, "requires_safety_checker": False} if "safety_checker" in index else {}


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:300]


def _scheduler(current: Any, recipe: Recipe) -> Any:
    """Return the scheduler that the recipe asks for in place of the model's own; raise ParameterError if none fits."""
    name, options = recipe.scheduler, dict(recipe.scheduler_options)
    kind: Any = type(current) if name is None else getattr(diffusers, name, None)
    exists = isinstance(kind, type) and issubclass(kind, diffusers.SchedulerMixin)
    if not exists or not _fits(kind, current, options):
        what = "a scheduler that does not fit the model" if exists else "no such scheduler"
        others = ", ".join(sorted(scheduler.__name__ for scheduler in current.compatibles))
        raise ParameterError(what, _named(recipe, "scheduler"), f"one of {others}")
    known = list(inspect.signature(kind).parameters)
    if unknown := [option for option in options if option not in known]:  # diffusers would ignore it
        where = f"params.yaml, generate.scheduler_options.{unknown[0]}"
        raise ParameterError(f"{kind.__name__} has no such option", where, f"one of {', '.join(known)}")
    try:
        return kind.from_config(current.config, **options)
    except Exception as error:  # anything, since nobody has checked these values
        where = _named(recipe, "scheduler", "scheduler_options")
        raise ParameterError(
            f"{kind.__name__} cannot be made with these options ({error})", where, "choose other values"
        ) from error


def _fits(kind: Any, current: Any, options: dict[str, Any]) -> bool:
    """Return whether a scheduler steps the way the model was trained: removing noise, or along a flow.

    Diffusers lists kinds that fit, but leaves out many, such as LCMScheduler.
    """
    known = inspect.signature(kind).parameters
    if "shift" in current.config or current.config.get("use_flow_sigmas"):
        fits = "shift" in known or options.get("use_flow_sigmas")
    else:
        fits = "trained_betas" in known and "prediction_type" in known
    return bool(fits) or kind in current.compatibles
