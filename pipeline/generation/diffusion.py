"""The diffusion model: image specs in, pictures out. One of the two rooms where torch and diffusers load."""

import inspect
from collections.abc import Sequence
from functools import lru_cache
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

from pipeline.errors import GenerationError, ParameterError
from pipeline.generation.recipe import ImageSpec
from pipeline.generation.source import Source

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

_PROMPTS = 512  # embeddings kept; in float16 at most 0.2 GB for Stable Diffusion 1.5, 2.5 GB for PixArt-Sigma


class Model:
    """A loaded text-to-image pipeline on one device.

    Every call has the same shape (the last batch is padded, or each image has its own call), every prompt is encoded by
    itself, and every image has its own generator on the CPU. So an image's bytes do not depend on its place in the
    batch or on its batch-mates.
    """

    def __init__(self, source: Source, device: str) -> None:
        self.recipe, self.device = source.recipe, torch.device(device)
        if self.device.type == "cpu":
            torch.set_num_threads(1)
        for library in (diffusers, transformers):
            library.utils.logging.set_verbosity_error()
            library.utils.logging.disable_progress_bar()
        try:
            self.pipeline = _load(source).to(self.device)
        except RuntimeError as error:
            raise _explained(error, self.device, self.recipe.batch_size) from error
        self.pipeline.set_progress_bar_config(disable=True)
        self._kind = type(self.pipeline).__name__
        self._accepted = set(inspect.signature(self.pipeline.__call__).parameters)
        self._finite: list[Tensor] = []
        self._prepare()
        self._embeddings = lru_cache(_PROMPTS)(self._encode)

    def _prepare(self) -> None:
        """Lay the convolutions out for speed, compile if asked, and watch what the decoder reads and writes."""
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
        GenerationError if the device's memory runs out.
        """
        self._finite.clear()
        padded = [*specs, *[specs[-1]] * (self.recipe.batch_size - len(specs))]
        # Kinds that read prompts as text may pad them to the longest of a call: each of their images has its own.
        calls = [padded] if self._kind in _EMBEDDINGS else [[spec] for spec in specs]
        try:
            images = torch.cat([self._call(call) for call in calls])
        except RuntimeError as error:
            raise _explained(error, self.device, self.recipe.batch_size) from error
        finite = _finite(images)
        if sum(map(len, self._finite)) == len(images):
            finite &= torch.cat(self._finite)
        levels = (images.float() * 255).round().where(finite[:, None, None, None], 0).to(torch.uint8)
        drawn: NDArray[np.uint8] = levels[: len(specs)].permute(0, 2, 3, 1).cpu().numpy()
        return drawn

    def _call(self, specs: Sequence[ImageSpec]) -> Tensor:
        """Return the images (N, 3, H, W) in [0, 1] that one call of the pipeline draws."""
        options = {
            "generator": [torch.Generator().manual_seed(spec.seed) for spec in specs],
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
        """Return what tells the pipeline the prompts: embeddings (N, ...) that are computed once for each prompt."""
        guided = specs[0].guidance > 1
        if self._kind in _EMBEDDINGS:
            each = [self._embeddings(spec.prompt, spec.negative_prompt, guided) for spec in specs]
            joined: dict[str, Any] = {name: torch.cat([one[name] for one in each]) for name in each[0]}
            # PixArt's own default is an empty text, which it takes for a second negative.
            return joined | ({"negative_prompt": None} if "negative_prompt" in self._accepted else {})
        texts = {"prompt": [spec.prompt for spec in specs]}
        if guided and specs[0].negative_prompt and "negative_prompt" in self._accepted:
            texts["negative_prompt"] = [spec.negative_prompt for spec in specs]
        return texts

    def _encode(self, prompt: str, negative: str, guided: bool) -> dict[str, Tensor]:
        """Return the embeddings (1, ...) of one prompt, and of its negative where the image is guided."""
        embedded = getattr(getattr(self.pipeline, "unet", None), "config", {}).get("time_cond_proj_dim") is not None
        encoded = self.pipeline.encode_prompt(
            prompt=prompt,
            device=self.device,
            num_images_per_prompt=1,
            do_classifier_free_guidance=guided and not embedded,  # some models take the scale as an input instead
            **({"negative_prompt": negative} if negative else {}),
        )
        named = zip(_EMBEDDINGS[self._kind], encoded, strict=True)
        return {name: tensor for name, tensor in named if tensor is not None}


def _finite(images: Tensor) -> Tensor:
    """Tell of each image (N, ...) whether all its numbers are finite, (N,)."""
    return torch.isfinite(images).flatten(1).all(1)


def _explained(error: RuntimeError, device: torch.device, batch_size: int) -> Exception:
    """Return what to raise for an error in the pipeline: itself, unless memory or a compiler was lacking."""
    if isinstance(error, TorchDynamoException):
        fix = "install a C++ compiler (Triton on CUDA), or set it to false"
        return GenerationError(str(error).partition("\n")[0], "params.yaml, generate.compile", fix)
    if not isinstance(error, torch.OutOfMemoryError) and "can't allocate memory" not in str(error):
        return error
    fix = "lower generate.batch_size (it is part of the recipe: all images are drawn anew) or generate.render_size"
    return GenerationError(f"out of memory on {device}", f"params.yaml, generate.batch_size = {batch_size}", fix)


def _load(source: Source) -> Any:
    """Load the pipeline without its safety checker, which blacks out harmless pictures and so spoils counts."""
    recipe = source.recipe
    options: dict[str, Any] = {
        "dtype": getattr(torch, recipe.dtype),
        "revision": source.revision,
        "variant": recipe.variant,
        "use_safetensors": True,
        "local_files_only": source.revision is None,
    }
    try:
        config = diffusers.DiffusionPipeline.load_config(source.model, revision=source.revision)
        if "safety_checker" in config:
            options |= {"safety_checker": None, "requires_safety_checker": False}
        pipeline = AutoPipelineForText2Image.from_pretrained(source.model, **options)
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise GenerationError(f"cannot load the model ({error})", source.model, "check generate.model") from error
    if recipe.scheduler or recipe.scheduler_options:
        pipeline.scheduler = _scheduler(pipeline.scheduler, recipe.scheduler, dict(recipe.scheduler_options))
    return pipeline


def _scheduler(current: Any, name: str | None, options: dict[str, Any]) -> Any:
    kind: Any = type(current) if name is None else getattr(diffusers, name, None)
    if not (isinstance(kind, type) and issubclass(kind, diffusers.SchedulerMixin)):
        others = ", ".join(sorted(scheduler.__name__ for scheduler in current.compatibles))
        raise ParameterError("no such scheduler", f"params.yaml, generate.scheduler = {name!r}", f"one of {others}")
    known = list(inspect.signature(kind).parameters)
    if unknown := [option for option in options if option not in known]:  # diffusers would ignore it
        where = f"params.yaml, generate.scheduler_options.{unknown[0]}"
        raise ParameterError(f"{kind.__name__} has no such option", where, f"one of {', '.join(known)}")
    made: Any = kind
    return made.from_config(current.config, **options)
