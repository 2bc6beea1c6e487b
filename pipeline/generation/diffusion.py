"""The diffusion model: image specs in, encoded images out. One of the two rooms where torch and diffusers load."""

import io
from collections.abc import Sequence
from typing import Any

import diffusers
import torch
import transformers
from PIL import Image
from torch import Tensor

from pipeline.errors import GenerationError, ParameterError
from pipeline.generation.recipe import ImageSpec
from pipeline.generation.source import Source

_FLAT = 4  # a picture whose levels (0 to 255) all lie within this range shows nothing


class Model:
    """A loaded text-to-image pipeline on one device.

    Every call has the same shape (the last batch is padded), every prompt is encoded by itself, and every image has
    its own generator on the CPU. So an image's bytes do not depend on its place in the batch or on its batch-mates.
    """

    def __init__(self, source: Source, device: str) -> None:
        self.recipe, self.device = source.recipe, torch.device(device)
        if self.device.type == "cpu":
            torch.set_num_threads(1)
        for library in (diffusers, transformers):
            library.utils.logging.set_verbosity_error()
            library.utils.logging.disable_progress_bar()
        self.pipeline = _load(source).to(self.device)
        self.pipeline.set_progress_bar_config(disable=True)
        for part in ("unet", "vae"):
            if hasattr(self.pipeline, part):
                getattr(self.pipeline, part).to(memory_format=torch.channels_last)
        self._prompts: dict[tuple[str, str], tuple[Tensor, Tensor | None]] = {}

    @torch.inference_mode()
    def render(self, specs: Sequence[ImageSpec]) -> list[bytes | None]:
        """Draw at most ``batch_size`` images and return them as PNG, in order.

        None stands for an image that is not finite or shows one colour (overflow in float16 draws such).
        """
        padded = [*specs, *[specs[-1]] * (self.recipe.batch_size - len(specs))]
        prompts = [self._encode(spec.prompt, spec.negative_prompt) for spec in padded]
        negatives = [negative for _, negative in prompts if negative is not None]
        images = self.pipeline(
            prompt_embeds=torch.cat([positive for positive, _ in prompts]),
            negative_prompt_embeds=torch.cat(negatives) if negatives else None,
            generator=[torch.Generator().manual_seed(spec.seed) for spec in padded],
            num_inference_steps=self.recipe.steps,
            guidance_scale=self.recipe.guidance,
            height=self.recipe.render_size,
            width=self.recipe.render_size,
            output_type="pt",
        ).images[: len(specs)]
        return [self._finish(image) for image in images.float().cpu()]

    def _encode(self, prompt: str, negative: str) -> tuple[Tensor, Tensor | None]:
        """Return the embeddings of one prompt and its negative, each (1, tokens, width), computed once."""
        key = (prompt, negative)
        if key not in self._prompts:
            guided = self.recipe.guidance > 1
            self._prompts[key] = self.pipeline.encode_prompt(
                prompt=prompt,
                device=self.device,
                num_images_per_prompt=1,
                do_classifier_free_guidance=guided,
                negative_prompt=negative,
            )
        return self._prompts[key]

    def _finish(self, image: Tensor) -> bytes | None:
        """Encode one image (3, H, W) in [0, 1] at the stored size."""
        if not torch.isfinite(image).all():
            return None
        levels = (image * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
        if int(levels.max()) - int(levels.min()) <= _FLAT:
            return None
        picture = Image.fromarray(levels)
        size = (self.recipe.image_size, self.recipe.image_size)
        if picture.size != size:
            picture = picture.resize(size, Image.Resampling.LANCZOS)
        buffer = io.BytesIO()
        picture.save(buffer, "PNG")
        return buffer.getvalue()


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
        kind = diffusers.DiffusionPipeline.load_config(source.model, revision=source.revision)["_class_name"]
        if kind != "StableDiffusionPipeline":
            fix = "use a Stable Diffusion 1.x or 2.x model"
            raise GenerationError(f"models of kind {kind} are not supported", source.model, fix)
        options |= {"safety_checker": None, "requires_safety_checker": False}
        pipeline = diffusers.StableDiffusionPipeline.from_pretrained(source.model, **options)
    except (OSError, ValueError, KeyError) as error:
        raise GenerationError(f"cannot load the model ({error})", source.model, "check generate.model") from error
    if recipe.scheduler or recipe.scheduler_options:
        pipeline.scheduler = _scheduler(pipeline.scheduler, recipe.scheduler, dict(recipe.scheduler_options))
    return pipeline


def _scheduler(current: Any, name: str | None, options: dict[str, Any]) -> Any:
    kind: Any = type(current) if name is None else getattr(diffusers, name, None)
    if not (isinstance(kind, type) and issubclass(kind, diffusers.SchedulerMixin)):
        known = ", ".join(sorted(scheduler.__name__ for scheduler in current.compatibles))
        raise ParameterError("no such scheduler", f"params.yaml, generate.scheduler = {name!r}", f"one of {known}")
    made: Any = kind
    return made.from_config(current.config, **options)
