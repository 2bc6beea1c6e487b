"""A picture of possible copies: synthetic images, and the training image that each is nearest to."""

from PIL import Image

from pipeline.evaluation.likeness import Likeness
from pipeline.evaluation.sides import Reference, Side
from pipeline.reporting import contact_sheet


def draw(synthetic: Side, real: Reference, likeness: Likeness) -> Image.Image:
    """Return the pairs that are nearest to each other, copies first; the picture says so if there are none."""
    found = likeness.pairs
    pixels, trained = synthetic.images.pixels, real.training.images.pixels
    rows = {
        f"{place + 1} {real.class_names[pair.label]}{' !' if pair.copy else ''}": [
            [Image.fromarray(pixels[pair.synthetic])],
            [Image.fromarray(trained[pair.training])],
        ]
        for place, pair in enumerate(found)
    }
    return contact_sheet.draw(rows or {"none": [[], []]}, ["synthetic", "training (!: a copy)"])
