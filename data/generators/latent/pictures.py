"""The pictures that a generator learns from, read by the package's own reader and kept on the device as bytes."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from latent.recipe import DataRecipe
from pipeline import progress
from pipeline.data import images
from pipeline.data.images import Images
from pipeline.errors import DataError
from pipeline.params import DataParams

_READ_AT_ONCE = 1_000


@dataclass(frozen=True)
class Pictures:
    """N pictures; if they are mirrored, those from N on are the mirror images of the first ones."""

    pixels: Tensor
    """(N, 3, size, size) bytes."""
    labels: Tensor
    """(N,) the class of each."""
    class_names: tuple[str, ...]
    fingerprint: str
    """Identifies pixels, labels and their order."""
    mirrored: bool

    def __len__(self) -> int:
        return len(self.pixels) * (1 + self.mirrored)

    def batch(self, index: Tensor) -> Tensor:
        """Return pictures (len(index), 3, size, size) in [-1, 1]."""
        found = self.pixels[index % len(self.pixels)].float() / 127.5 - 1
        if self.mirrored:
            found = torch.where((index >= len(self.pixels)).view(-1, 1, 1, 1), found.flip(3), found)
        return found.contiguous(memory_format=torch.channels_last)

    @property
    def all_labels(self) -> Tensor:
        """(len(self),) the class of each, with the mirror images."""
        return self.labels.repeat(1 + self.mirrored)


def chosen(recipe: DataRecipe, root: Path = Path()) -> tuple[Images, Images | None]:
    """Return the images that a generator sees, and those of the split that it does not see: None if it sees all.

    Raises DataError if they cannot be read.
    """
    share = recipe.share or 0.5
    params = DataParams(
        path=recipe.path,
        train=recipe.split,
        test=None,
        holdout=share,
        holdout_seed=recipe.share_seed,
        image_size=recipe.size,
    )
    if recipe.share is None:
        return images.load(params, recipe.split, root).whole(), None
    return images.load(params, None, root), images.load(params, recipe.split, root)


def read(recipe: DataRecipe, device: torch.device, root: Path = Path()) -> Pictures:
    """Decode all pictures, at the recipe's size; raise DataError if one cannot be decoded or has no label."""
    found, _ = chosen(recipe, root)
    if (found.labels < 0).any():
        row = int((found.labels < 0).argmax())
        raise DataError("a picture has no label", found.name(row), "leave it out of the data set")
    parts = []
    with progress.bar("decode pictures", len(found), "pictures") as advance:
        for start in range(0, len(found), _READ_AT_ONCE):
            rows = range(start, min(start + _READ_AT_ONCE, len(found)))
            parts.append(torch.from_numpy(found.pixels(rows)).permute(0, 3, 1, 2))
            advance(len(rows))
    return Pictures(
        pixels=torch.cat(parts).contiguous().to(device),
        labels=torch.from_numpy(found.labels).to(device),
        class_names=found.class_names,
        fingerprint=found.fingerprint,
        mirrored=recipe.mirror,
    )
