"""Names of classifiers that stand for different networks at different sizes of pictures."""

from functools import cache

from pipeline import progress

RESNET18, SMALL, IMAGENET = "resnet18", "resnet18-small", "resnet18-imagenet"
_FIRST_LARGE = 96
"""Pixels a side from which ``resnet18`` is the network for ImageNet.

Its stem (stride 2, then pooling by 2) and its stages divide the side by 32, so less would leave 2 x 2 pixels at the end
or fewer; the network for small pictures does about 18 times its work on the same picture.
"""


def resolve(name: str, image_size: int) -> str:
    """Return the name of one network; only ``resnet18`` depends on the size of the pictures, and that is said once."""
    return _chosen(image_size) if name == RESNET18 else name


@cache
def _chosen(image_size: int) -> str:
    found = IMAGENET if image_size >= _FIRST_LARGE else SMALL
    stem = {SMALL: "3x3 stem, no pooling", IMAGENET: "torchvision's: 7x7 stem of stride 2, pooling"}[found]
    progress.say(
        f"train.model: {RESNET18} at {image_size} pixels is {found} ({stem}); write {SMALL} or {IMAGENET} to choose"
    )
    return found
