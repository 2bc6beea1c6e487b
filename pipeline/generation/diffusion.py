"""The diffusion model: image specs in, pictures out. One of the two rooms where torch and diffusers load."""

import inspect
import traceback
from collections.abc import Sequence
from typing import Any

import diffusers
import numpy as np
import torch
import transformers
from diffusers import AutoPipelineForText2Image  # imports every pipeline, so once, before workers are forked
from numpy.typing import NDArray
from safetensors import SafetensorError
from torch import Tensor, nn
from torch._dynamo.exc import TorchDynamoException

from pipeline.artifacts.spec import ImageSpec
from pipeline.errors import GenerationError, ParameterError, PipelineError
from pipeline.generation import devices, noise
from pipeline.generation.model import ResolvedModel
from pipeline.generation.recipe import Recipe

_PLAIN = ("prompt_embeds", "negative_prompt_embeds")
_POOLED = (*_PLAIN, "pooled_prompt_embeds", "negative_pooled_prompt_embeds")
_MASKED = ("prompt_embeds", "prompt_attention_mask", "negative_prompt_embeds", "negative_prompt_attention_mask")
_EMBEDDINGS = {
    "StableDiffusionPipeline": _PLAIN,
    "LatentConsistencyModelPipeline": _PLAIN,
    "StableDiffusionXLPipeline": _POOLED,
    "PixArtAlphaPipeline": _MASKED,
    "PixArtSigmaPipeline": _MASKED,
}
"""What ``encode_prompt`` returns, by the names under which the pipeline takes it. Other kinds get texts."""

# Of embeddings kept on the device. Clients follow each other with the same classes: if a prompt were evicted before it
# is used again, every prompt would be encoded every time. 1 GiB is little beside the models, and holds 9,000 prompts of
# Stable Diffusion 1.5 in float16 (118 kB each), 3,300 of XL (320 kB), 400 of PixArt-Sigma (2.5 MB).
_KEPT_BYTES = 2**30
_MISTAKES = (ValueError, TypeError, LookupError, AttributeError, NotImplementedError, AssertionError)
"""What diffusers raises for values that it cannot use."""


class Model:
    """A loaded text-to-image pipeline on one device.

    Every call has the same shape (the last batch is padded, or each image has its own call), every prompt is encoded by
    itself, and every image has its own generator on the CPU. So an image's bytes do not depend on its place in the
    batch or on its batch-mates.
    """

    def __init__(self, model: ResolvedModel, device: str) -> None:
        devices.check(device)
        self.recipe, self.device = model.recipe, torch.device(device)
        if self.device.type == "cpu":
            torch.set_num_threads(1)
        for library in (diffusers, transformers):
            library.utils.logging.set_verbosity_error()
            library.utils.logging.disable_progress_bar()
        try:
            self.pipeline = _load(model).to(self.device)
        except RuntimeError as error:
            if explained := _explained(error, self.recipe, self.device):
                raise explained from error
            raise
        self.pipeline.set_progress_bar_config(disable=True)
        self._kind = type(self.pipeline).__name__
        self._accepted = set(inspect.signature(self.pipeline.__call__).parameters)
        self._finite: list[Tensor] = []
        self._prepare()
        self._embeddings = _Embeddings()

    def _prepare(self) -> None:
        """Set the fastest memory layout, compile if asked, and check what the decoder reads and writes."""
        for name, part in self.pipeline.components.items():
            if isinstance(part, nn.Module) and any(isinstance(module, nn.Conv2d) for module in part.modules()):
                part.to(memory_format=torch.channels_last)
            if name in ("unet", "transformer") and self.recipe.compile:
                part.compile(dynamic=False)
        decoder = getattr(getattr(self.pipeline, "vae", None), "decoder", None)
        if decoder is not None:
            decoder.register_forward_hook(lambda _, given, made: self._finite.append(_finite(given[0]) & _finite(made)))

    @torch.inference_mode()
    def draw(self, specs: Sequence[ImageSpec]) -> NDArray[np.uint8]:
        """Draw at most ``batch_size`` images of one guidance scale; return levels (N, H, W, 3), in order.

        An image whose latents or pixels are not finite (overflow in float16 draws such) comes out black. Raises
        GenerationError if the device's memory runs out, ParameterError for a size or steps that the model cannot draw.
        """
        self._finite.clear()
        padded = [*specs, *[specs[-1]] * (self.recipe.batch_size - len(specs))]
        # Kinds that read prompts as text may pad them to the longest of a call: each of their images has its own.
        calls = [padded] if self._kind in _EMBEDDINGS else [[spec] for spec in specs]
        try:
            images = torch.cat([self._call(call) for call in calls])
        except Exception as error:
            if explained := _explained(error, self.recipe, self.device):
                raise explained from error
            raise
        finite = _finite(images)
        if sum(map(len, self._finite)) == len(images):
            finite &= torch.cat(self._finite)
        levels = (images.float() * 255).round().where(finite[:, None, None, None], 0).to(torch.uint8)
        drawn: NDArray[np.uint8] = levels[: len(specs)].permute(0, 2, 3, 1).cpu().numpy()
        return drawn

    def _call(self, specs: Sequence[ImageSpec]) -> Tensor:
        """Return the images (N, 3, H, W) in [0, 1] that one call of the pipeline draws."""
        options = {
            "generator": [noise.generator(spec.seed) for spec in specs],
            "num_inference_steps": self.recipe.steps,
            "guidance_scale": specs[0].guidance,
            "height": self.recipe.render_size,
            "width": self.recipe.render_size,
            "output_type": "pt",
        }
        given = {name: value for name, value in options.items() if name in self._accepted and value is not None}
        images: Tensor = self.pipeline(**self._condition(specs), **given).images
        return images

    def _condition(self, specs: Sequence[ImageSpec]) -> dict[str, Any]:
        """Return the prompts for the pipeline: as embeddings (N, ...), computed once for each prompt, or as texts."""
        guided = specs[0].guidance > 1
        if self._kind in _EMBEDDINGS:
            each = [self._embedded(spec.prompt, spec.negative_prompt, guided) for spec in specs]
            joined: dict[str, Any] = {name: torch.cat([one[name] for one in each]) for name in each[0]}
            # PixArt's own default is an empty text, which it would use as a second negative prompt.
            return joined | ({"negative_prompt": None} if "negative_prompt" in self._accepted else {})
        texts = {"prompt": [spec.prompt for spec in specs]}
        if guided and specs[0].negative_prompt and "negative_prompt" in self._accepted:
            texts["negative_prompt"] = [spec.negative_prompt for spec in specs]
        return texts

    def _embedded(self, prompt: str, negative: str, guided: bool) -> dict[str, Tensor]:
        """Return the embeddings (1, ...) of one prompt, and of its negative where the image is guided.

        The pipeline encodes what it is not given, so each text is encoded once.
        """
        if getattr(getattr(self.pipeline, "unet", None), "config", {}).get("time_cond_proj_dim") is not None:
            guided = False  # some models take the scale as an input instead
        keys = [("prompt", prompt), ("negative", negative)] if guided else [("prompt", prompt)]
        known = {key: self._embeddings.get(key) for key in keys}
        found = {name: tensor for part in known.values() for name, tensor in part.items()}
        if all(known.values()):
            return found
        encoded = self.pipeline.encode_prompt(
            prompt=prompt,
            device=self.device,
            num_images_per_prompt=1,
            do_classifier_free_guidance=guided,
            **({"negative_prompt": negative} if negative else {}),
            **found,
        )
        named = zip(_EMBEDDINGS[self._kind], encoded, strict=True)
        found = {name: tensor for name, tensor in named if tensor is not None}
        for key in (key for key, part in known.items() if not part):
            negatives = key[0] == "negative"
            part = {name: tensor for name, tensor in found.items() if name.startswith("negative") == negatives}
            self._embeddings.put(key, part)
        return found


class _Embeddings:
    """Embeddings by text, up to a number of bytes; those that were used least recently are evicted first."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], dict[str, Tensor]] = {}
        """In order of last use."""
        self._bytes = 0

    def get(self, key: tuple[str, str]) -> dict[str, Tensor]:
        """Return a text's embeddings by name, none if they are not there."""
        found = self._kept.pop(key, {})
        if found:
            self._kept[key] = found
        return found

    def put(self, key: tuple[str, str], embeddings: dict[str, Tensor]) -> None:
        """Keep the embeddings of a text that is not there."""
        self._kept[key] = embeddings
        self._bytes += _size(embeddings)
        while self._bytes > _KEPT_BYTES and len(self._kept) > 1:
            self._bytes -= _size(self._kept.pop(next(iter(self._kept))))


def _size(embeddings: dict[str, Tensor]) -> int:
    return sum(tensor.nbytes for tensor in embeddings.values())


def _finite(images: Tensor) -> Tensor:
    """Return for each image (N, ...) whether all its numbers are finite, (N,)."""
    return torch.isfinite(images).flatten(1).all(1)


def _explained(error: Exception, recipe: Recipe, device: torch.device) -> PipelineError | None:
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
    if not isinstance(error, _MISTAKES):
        return None
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    if any(frame.f_code.co_name == "check_inputs" for frame in frames):
        fix = "choose a size that it can, or null for the model's own"
        return ParameterError(f"the model cannot draw this ({error})", _named(recipe, "render_size"), fix)
    if any(frame.f_globals["__name__"].startswith("diffusers.schedulers") for frame in frames):
        where = _named(recipe, "steps", "scheduler", "scheduler_options")
        return ParameterError(f"the scheduler cannot do this ({error})", where, "choose other values")
    return None


def _named(recipe: Recipe, *names: str) -> str:
    """Return where parameters are, with the values of those that are set."""
    values = {name: getattr(recipe, name) for name in names}
    return "params.yaml, " + ", ".join(f"generate.{name} = {value!r}" for name, value in values.items() if value)


def _load(model: ResolvedModel) -> Any:
    """Load the pipeline without its safety checker, which blacks out harmless pictures and so spoils counts."""
    recipe = model.recipe
    options: dict[str, Any] = {
        "dtype": getattr(torch, recipe.dtype),
        "revision": model.revision,
        "variant": recipe.variant,
        "use_safetensors": True,
        "local_files_only": model.revision is None,
    }
    try:
        config = diffusers.DiffusionPipeline.load_config(model.model, revision=model.revision)
        if "safety_checker" in config:
            options |= {"safety_checker": None, "requires_safety_checker": False}
        pipeline = AutoPipelineForText2Image.from_pretrained(model.model, **options)
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise GenerationError(f"cannot load the model ({error})", model.model, "check generate.model") from error
    if recipe.scheduler or recipe.scheduler_options:
        pipeline.scheduler = _scheduler(pipeline.scheduler, recipe)
    most = pipeline.scheduler.config.get("num_train_timesteps")
    if most and recipe.steps > most:  # some schedulers would say so only after the last step
        raise ParameterError(f"the scheduler has {most} steps at most", _named(recipe, "steps"), "choose fewer")
    return pipeline


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
