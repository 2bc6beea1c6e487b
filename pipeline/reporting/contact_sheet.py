"""Pictures of images: a row for each class."""

from collections.abc import Iterable, Mapping, Sequence

from PIL import Image, ImageDraw, ImageFont

from pipeline import printable

_SMALLEST = 64  # pixels a side at which an image is shown
_LARGEST = 128
_GAP = 2
_LABEL = 110  # pixels for the class name
_LETTERS = 16
_HEAD = 18


def draw(
    rows: Mapping[str, Sequence[Sequence[Image.Image]]], heads: Sequence[str], marks: Sequence[str] = ()
) -> Image.Image:
    """Draw groups of images side by side, one row for each class name; ``heads`` titles the groups.

    ``marks``, one for each row if there are any, stand below the class names.

    Every row has the same number of groups; a group may have fewer images than its widest neighbour above or below.
    """
    widths = [max([1, *(len(groups[i]) for groups in rows.values())]) for i in range(len(heads))]
    side = _side([image for groups in rows.values() for group in groups for image in group])
    starts = [_LABEL + sum(widths[:i]) * (side + _GAP) + i * 12 for i in range(len(heads))]
    width = starts[-1] + widths[-1] * (side + _GAP)
    sheet = Image.new("RGB", (width, _HEAD + len(rows) * (side + _GAP)), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(12)
    for head, start in zip(heads, starts, strict=True):
        pen.text((start, 2), head, "black", font)
    for i, (name, groups) in enumerate(rows.items()):
        top = _HEAD + i * (side + _GAP)
        pen.text((4, top + side // 2 - 7), printable.short(name, _LETTERS), "black", font)
        if marks:
            pen.text((4, top + side // 2 + 9), marks[i], "black", font)
        for group, start in zip(groups, starts, strict=True):
            for k, image in enumerate(group):
                sheet.paste(image.resize((side, side), Image.Resampling.NEAREST), (start + k * (side + _GAP), top))
    return sheet


def by_class(rows: Iterable[tuple[int, Image.Image]], class_names: Sequence[str]) -> dict[str, list[Image.Image]]:
    """Return the images of each class; ``rows`` has label and image of each."""
    found: dict[str, list[Image.Image]] = {name: [] for name in class_names}
    for label, image in rows:
        found[class_names[label]].append(image)
    return found


def _side(images: Sequence[Image.Image]) -> int:
    """Return a size at which small images are enlarged by a whole factor and large ones fit."""
    width = images[0].width if images else _SMALLEST
    return min(width * max(1, _SMALLEST // width), _LARGEST)
