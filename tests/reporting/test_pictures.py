import numpy as np
import pytest
from PIL import Image

from pipeline.artifacts.history import Round
from pipeline.reporting import contact_sheet, figures, heatmap, page
from pipeline.reporting.summary import Arm

NAMES = ["cat", "dog"]


def test_heat_map_pictures_are_equal_for_equal_counts_and_differ_otherwise(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("maps")
    for name, counts in (("a", [[1, 0], [3, 9]]), ("b", [[1, 0], [3, 9]]), ("c", [[9, 0], [3, 1]])):
        heatmap.save(folder / name, np.array(counts), NAMES, "real")
    first, same, other = ((folder / name).read_bytes() for name in "abc")
    assert first == same != other


def test_heat_maps_print_each_count_and_class_name() -> None:
    before, after = figures.heat_maps(np.array([[17, 0]]), np.array([[17, 23]]), NAMES)
    assert ">17<" in before
    assert ">23<" in after
    assert ">dog<" in after


def test_curves_are_svg_without_clock_or_random_names() -> None:
    rounds = [Round("none", "fedavg", "epochs", 1, n, 0.1 * n, None, 1, 1, 1, 1) for n in (1, 2)]
    drawn = [figures.curves({"none": Arm("none", {1: rounds})}, "fedavg", {"real": 0.8}) for _ in range(2)]
    assert drawn[0] == drawn[1]
    assert drawn[0].startswith("<svg")
    assert "central, real" in drawn[0]


def test_contact_sheet_shows_each_image_at_its_place() -> None:
    """Two rows of one group: images of 64 pixels, enlarged to themselves, 66 apart, right of 110 and below 18."""
    red, blue = Image.new("RGB", (64, 64), "red"), Image.new("RGB", (64, 64), "blue")
    sheet = contact_sheet.draw({"cat": [[red, blue]], "dog": [[blue]]}, ["real"])
    assert sheet.size == (110 + 2 * 66, 18 + 2 * 66)
    assert sheet.getpixel((110, 18)) == (255, 0, 0)
    assert sheet.getpixel((110 + 66, 18)) == (0, 0, 255)
    assert sheet.getpixel((110, 18 + 66)) == (0, 0, 255)
    assert sheet.getpixel((110 + 66, 18 + 66)) == (255, 255, 255)


def test_a_value_missing_from_the_page_is_an_error_and_names_are_escaped() -> None:
    with pytest.raises(Exception, match="is undefined"):
        page.render({})
