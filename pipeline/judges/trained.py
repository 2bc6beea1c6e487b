"""The judge that is trained here, on real images: paid for once, and kept in the cache by its digest."""

import hashlib
import json
from collections.abc import Callable, Sequence
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pipeline import atomic, progress, seeds
from pipeline.errors import ParameterError
from pipeline.judges.judge import Images, Training, in_batches

if TYPE_CHECKING:
    from pipeline.judges.network import Network

NAME = "trained"
DIMENSION = 96
"""Numbers of each image's features."""
VERSION = 2
"""Raise it when a change of code changes what a judge answers."""


class Trained:
    """A small network of our own; its features serve as an extractor too.

    It computes on one thread of the CPU, so its answers are the same on every number of cores.
    """

    name = NAME
    dimension = DIMENSION

    def __init__(self, class_names: Sequence[str], training: Callable[[], Training], folder: Path) -> None:
        self._class_names, self._given, self._folder = list(class_names), training, folder

    @cached_property
    def digest(self) -> str:
        """Everything that decides the weights."""
        identity = [VERSION, version("torch"), self._class_names, self._training.digest]
        return hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:24]

    def probabilities(self, images: Images) -> NDArray[np.float32]:
        """Return the probability of each class, (N, classes), for images (N, H, W, 3).

        Raises ParameterError if the judge must be trained and fewer than two classes have images.
        """
        return self._rows(images, probabilities=True)

    def features(self, images: Images) -> NDArray[np.float32]:
        """Return what the last layer reads, (N, 96), for images (N, H, W, 3); raises errors as above.

        Rows have one length, the root of their number of values: those of images that show nothing would be short, and
        lie in the middle of all others.
        """
        return self._rows(images, probabilities=False)

    def _rows(self, images: Images, probabilities: bool) -> NDArray[np.float32]:
        import torch

        from pipeline.judges import network

        made, found = self._network, [np.empty((0, len(self._class_names) if probabilities else DIMENSION), np.float32)]
        with network.one_thread(), torch.inference_mode():
            for batch, count in in_batches(images):
                features = made.features(torch.from_numpy(np.array(batch)))
                length = features.norm(dim=1, keepdim=True).clamp_min(1e-6)
                rows = made.head(features).softmax(1) if probabilities else features * (DIMENSION**0.5 / length)
                found.append(rows[:count].numpy())
        return np.concatenate(found)

    @cached_property
    def _training(self) -> Training:
        return self._given()

    @cached_property
    def _network(self) -> "Network":
        """The network, from the cache or trained now."""
        from safetensors.torch import save_file

        place = self._folder / f"{self.digest}.safetensors"
        found = self._read(place)
        if found is None:
            found = self._train()
            with atomic.replacing(place) as temporary:
                save_file({name: tensor.contiguous() for name, tensor in found.state_dict().items()}, temporary)
        return found

    def _train(self) -> "Network":
        import torch

        from pipeline.judges import network

        labels = self._training.images.labels[self._training.rows]
        if len(np.unique(labels)) < 2:
            what = f"too few real images to train a judge on: {len(labels)}, of fewer than two classes"
            fix = "name a pre-trained model as the judge, in params.yaml"
            raise ParameterError(what, "judge trained", fix)
        progress.say(f"judge: training a small network on {len(labels)} real images, once")
        if lacking := [name for label, name in enumerate(self._class_names) if label not in labels]:
            progress.say(f"warning: the judge sees no real image of {', '.join(lacking)}, and never answers so")
        pixels = torch.from_numpy(self._training.images.pixels[self._training.rows])
        return network.train(pixels, torch.from_numpy(labels), len(self._class_names), seeds.derive(0, "judge"))

    def _read(self, place: Path) -> "Network | None":
        """Return the network of a file, None if there is none or it is damaged, which is reported."""
        if not place.is_file():
            return None
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        from pipeline.judges.network import Network

        made = Network(len(self._class_names), self._training.images.image_size)
        try:
            made.load_state_dict(load_file(place))
        except (SafetensorError, ValueError, KeyError, RuntimeError, OSError):
            progress.say(f"{place} is damaged; the judge is trained again")
            return None
        return made.eval()
