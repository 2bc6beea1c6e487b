"""A picture of possible copies: synthetic images, and the training image that each is nearest to."""

from PIL import Image

from pipeline.evaluation.likeness import Likeness
from pipeline.evaluation.sides import Reference, Side
from pipeline.reporting import contact_sheet


def draw(synthetic: Side, real: Reference, likeness: Likeness) -> Image.Image:
    """Return the pairs that are nearest to each other, a row each, copies first; ``none`` if there are no images."""
    found = likeness.pairs
    pixels, trained = synthetic.images.pixels, real.training.images.pixels
    rows = {
        f"{'COPY ' if pair.copy else ''}{place} {real.class_names[pair.label]}": [
            [Image.fromarray(pixels[pair.synthetic])],
            [Image.fromarray(trained[pair.training])],
        ]
        for place, pair in enumerate(found, start=1)
    }
    return contact_sheet.draw(rows or {"none": [[], []]}, ["synthetic", "training"])
