"""A picture of possible copies: synthetic images beside training images, and beside each other."""

from collections.abc import Sequence

from PIL import Image

from pipeline.evaluation.likeness import Likeness, Pair
from pipeline.evaluation.pixels import Pixels
from pipeline.evaluation.sides import Reference, Side
from pipeline.reporting import contact_sheet

_GAP = 12  # pixels between the two parts


def draw(synthetic: Side, real: Reference, likeness: Likeness) -> Image.Image:
    """Return the pairs nearest to each other, a row each, copies first, and below them what repeats a synthetic image.

    Below each class stands how the pair was marked. Where there is no pair, the row is called ``none``.
    """
    made, trained = synthetic.images.pixels, real.training.images.pixels
    names = real.class_names
    parts = [
        _part(likeness.pairs, made, trained, names, "training"),
        _part(likeness.repeats, made, made, names, "earlier one"),
    ]
    joined = Image.new("RGB", (max(part.width for part in parts), sum(part.height for part in parts) + _GAP), "white")
    joined.paste(parts[0], (0, 0))
    joined.paste(parts[1], (0, parts[0].height + _GAP))
    return joined


def _part(pairs: Sequence[Pair], made: Pixels, others: Pixels, names: Sequence[str], head: str) -> Image.Image:
    rows = {
        f"{place} {names[pair.label]}": [
            [Image.fromarray(made[pair.synthetic])],
            [Image.fromarray(others[pair.other])],
        ]
        for place, pair in enumerate(pairs, start=1)
    }
    return contact_sheet.draw(rows or {"none": [[], []]}, ["synthetic", head], [pair.mark for pair in pairs])
