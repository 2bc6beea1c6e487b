"""Judges of transformers: an image classifier, whose labels are matched with our classes."""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipeline.judges import class_labels, files
from pipeline.judges.files import Files
from pipeline.judges.judge import Images
from pipeline.params import JudgeParams

if TYPE_CHECKING:
    from torch import Tensor


class Classifier:
    """A pre-trained image classifier; of its labels only those of our classes count."""

    def __init__(self, name: str, found: Files, places: Sequence[int], device: str) -> None:
        self.name, self._files, self._places, self._device = name, found, list(places), device

    @cached_property
    def digest(self) -> str:
        from pipeline.judges import pretrained

        return pretrained.digest(self._files.identity, self._places)

    def probabilities(self, images: Images) -> NDArray[np.float32]:
        """Return the probability of each class among all labels of the model, (N, classes).

        Rows need not add up to 1: what is left went to labels that are none of our classes. Raises ParameterError if
        the model cannot be loaded.
        """
        from pipeline.judges import pretrained

        answer, processor = self._loaded
        return pretrained.rows(images, len(self._places), processor, answer, self._device)

    @cached_property
    def _loaded(self) -> tuple[Callable[["Tensor"], "Tensor"], Any]:
        import transformers

        from pipeline.judges import pretrained

        folder, where = self._files.folder(), self._files.where
        model = pretrained.model(transformers.AutoModelForImageClassification, folder, where, self._device)

        def answer(pixels: "Tensor") -> "Tensor":
            chosen: Tensor = model(pixel_values=pixels).logits.float().softmax(1)[:, self._places]
            return chosen

        return answer, pretrained.opened(transformers.AutoImageProcessor, folder, where)


def load(
    params: JudgeParams, class_names: Sequence[str], words: Sequence[str], root: Path, device: str, where: str
) -> Classifier:
    """Return the classifier of a folder or id; raise ParameterError if there is none, or it lacks a class."""
    found = files.find(params.model, params.revision, root, f"{where}.model")
    assert isinstance(params.labels, dict)
    places = class_labels.match(class_names, words, _labels(found.config), params.labels, where)
    return Classifier(params.model, found, places, device)


def _labels(config: Mapping[str, Any]) -> list[str]:
    """Return what a model calls its classes, in their order; nothing if its configuration does not say it."""
    named = config.get("id2label")
    if not isinstance(named, dict) or not all(str(key).isdigit() for key in named):
        return []
    return [str(named[key]) for key in sorted(named, key=int)]
