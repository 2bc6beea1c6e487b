import pytest
from PIL import Image

from pipeline.reporting import contact_sheet

NAMES = ["cat", "dog"]


def test_each_image_is_at_its_place() -> None:
    """Two rows of one group: images of 64 pixels, enlarged to themselves, 66 apart, right of 110 and below 18."""
    red, blue = Image.new("RGB", (64, 64), "red"), Image.new("RGB", (64, 64), "blue")
    sheet = contact_sheet.draw({"cat": [[red, blue]], "dog": [[blue]]}, ["real"])
    assert sheet.size == (110 + 2 * 66, 18 + 2 * 66)
    assert sheet.getpixel((110, 18)) == (255, 0, 0)
    assert sheet.getpixel((110 + 66, 18)) == (0, 0, 255)
    assert sheet.getpixel((110, 18 + 66)) == (0, 0, 255)
    assert sheet.getpixel((110 + 66, 18 + 66)) == (255, 255, 255)


def test_groups_are_side_by_side_below_their_heads() -> None:
    """Two groups, the first two images wide: the second starts at 110 + 2 * 66 + 12."""
    red, blue = Image.new("RGB", (64, 64), "red"), Image.new("RGB", (64, 64), "blue")
    sheet = contact_sheet.draw({"cat": [[red], [blue]], "dog": [[red, red], []]}, ["real", "synthetic"])
    assert sheet.size == (110 + 2 * 66 + 12 + 66, 18 + 2 * 66)
    assert sheet.getpixel((110, 18)) == (255, 0, 0)
    assert sheet.getpixel((110 + 2 * 66 + 12, 18)) == (0, 0, 255)
    heads = sheet.crop((110, 0, sheet.width, 18)).convert("L").getextrema()
    assert heads == (0, 255)


@pytest.mark.parametrize(
    ("side", "shown"),
    [(16, 64), (28, 56), (32, 64), (48, 48), (64, 64), (100, 100), (128, 128), (512, 128)],
)
def test_small_images_are_enlarged_by_a_whole_factor_and_large_ones_shrunk(side: int, shown: int) -> None:
    """The largest factor that keeps the side within 64: 28 * 2 = 56; a side of more than 128 becomes 128."""
    sheet = contact_sheet.draw({"cat": [[Image.new("RGB", (side, side), "red")]]}, ["real"])
    assert sheet.size == (110 + shown + 2, 18 + shown + 2)
    colours = {sheet.getpixel((110 + x, 18 + y)) for x in (0, shown - 1) for y in (0, shown - 1)}
    assert colours == {(255, 0, 0)}


def test_a_sheet_without_any_image_still_names_the_classes() -> None:
    sheet = contact_sheet.draw({"cat": [[]], "dog": [[]]}, ["synthetic"])
    assert sheet.size == (110 + 66, 18 + 2 * 66)
    assert sheet.crop((0, 18, 110, sheet.height)).convert("L").getextrema() == (0, 255)


def test_images_are_grouped_by_class_in_their_order() -> None:
    red, blue, grey = (Image.new("RGB", (8, 8), colour) for colour in ("red", "blue", "grey"))
    assert contact_sheet.by_class([(1, red), (0, blue), (1, grey)], NAMES) == {"cat": [blue], "dog": [red, grey]}
    assert contact_sheet.by_class([], NAMES) == {"cat": [], "dog": []}
