"""The diffusion model: image specs in, pictures out. One of the two rooms where torch and diffusers load."""

import inspect
from collections.abc import Sequence
from typing import Any

import diffusers
import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from torch import Tensor, nn

from pipeline.artifacts.spec import ImageSpec
from pipeline.generation import devices, loading, noise
from pipeline.generation.model import ResolvedModel

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


class Model:
    """A loaded text-to-image pipeline on one device.

    Every call has the same shape (the last batch is padded, or each image has its own call), every prompt is encoded by
    itself, and every image has its own generator on the CPU. So an image's bytes do not depend on its place in the
    batch or on its batch-mates.
    """

    def __init__(self, model: ResolvedModel, device: str) -> None:
        devices.check(device, model.recipe.dtype)
        self.recipe, self.device = model.recipe, torch.device(device)
        if self.device.type == "cpu":
            torch.set_num_threads(1)
        for library in (diffusers, transformers):
            library.utils.logging.set_verbosity_error()
            library.utils.logging.disable_progress_bar()
        try:
            self.pipeline = loading.load(model).to(self.device)
        except RuntimeError as error:
            if explained := loading.explained(error, self.recipe, self.device):
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
            if explained := loading.explained(error, self.recipe, self.device):
                raise explained from error
            raise
        loading.check_size(images, self.recipe)
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
