"""The judge that needs no training: CLIP compares an image with one sentence for each class (arXiv 2103.00020)."""

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipeline.judges import files
from pipeline.judges.files import Files
from pipeline.judges.judge import Images
from pipeline.params import JudgeParams

if TYPE_CHECKING:
    from torch import Tensor

PREFIX = "clip:"
_SENTENCE = "a photo of a {}"


class Clip:
    """CLIP, and one sentence for each class."""

    def __init__(self, name: str, found: Files, sentences: Sequence[str], device: str) -> None:
        self.name, self._files, self._sentences, self._device = name, found, list(sentences), device

    @cached_property
    def digest(self) -> str:
        from pipeline.judges import pretrained

        return pretrained.digest(self._files.identity, self._sentences)

    def probabilities(self, images: Images) -> NDArray[np.float32]:
        """Return the softmax over the classes of the scaled cosines between image and sentences, (N, classes).

        Raises ParameterError if the model cannot be loaded.
        """
        from pipeline.judges import pretrained

        answer, processor = self._loaded
        return pretrained.rows(images, len(self._sentences), processor, answer, self._device)

    @cached_property
    def _loaded(self) -> tuple[Callable[["Tensor"], "Tensor"], Any]:
        import torch
        import transformers

        from pipeline.judges import pretrained

        folder, where = self._files.folder(), self._files.where
        model = pretrained.model(transformers.CLIPModel, folder, where, self._device)
        tokenizer = pretrained.opened(transformers.AutoTokenizer, folder, where)
        with torch.inference_mode():
            tokens = tokenizer(self._sentences, padding=True, truncation=True, return_tensors="pt").to(self._device)
            sentences = _unit(_embedding(model.get_text_features(**tokens)))

        def answer(pixels: "Tensor") -> "Tensor":
            cosines = _unit(_embedding(model.get_image_features(pixel_values=pixels))) @ sentences.T
            scaled: Tensor = model.logit_scale.exp() * cosines
            return scaled.float().softmax(1)

        return answer, pretrained.opened(transformers.AutoImageProcessor, folder, where)


def load(
    params: JudgeParams, class_names: Sequence[str], words: Sequence[str], root: Path, device: str, where: str
) -> Clip:
    """Return the CLIP model of a folder or id; raise ParameterError if there is none.

    ``params.labels`` replaces the words of a class in its sentence.
    """
    found = files.find(params.model.removeprefix(PREFIX), params.revision, root, f"{where}.model")
    assert isinstance(params.labels, dict)
    spoken = [params.labels.get(name, said) for name, said in zip(class_names, words, strict=True)]
    return Clip(params.model, found, [_SENTENCE.format(said) for said in spoken], device)


def _embedding(found: Any) -> Any:
    """Return the projected embedding (N, D); transformers 5 wraps it."""
    return getattr(found, "pooler_output", found)


def _unit(vectors: Any) -> Any:
    return vectors / vectors.norm(dim=1, keepdim=True)
