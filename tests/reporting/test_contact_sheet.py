import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.artifacts import shards
from pipeline.artifacts.history import Round
from pipeline.artifacts.spec import ImageSpec
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


@pytest.mark.parametrize(("side", "shown"), [(16, 64), (28, 56), (48, 48), (100, 100), (128, 128), (512, 128)])
def test_small_images_are_enlarged_by_a_whole_factor_and_large_ones_fit(side: int, shown: int) -> None:
    sheet = contact_sheet.draw({"cat": [[Image.new("RGB", (side, side), "red")]]}, ["one"])
    assert sheet.size == (110 + shown + 2, 18 + shown + 2)
    colours = {sheet.getpixel((110 + x, 18 + y)) for x in (0, shown - 1) for y in (0, shown - 1)}
    assert colours == {(255, 0, 0)}


def test_images_of_a_class_are_found_in_all_files_of_a_shard(tmp_path: Path) -> None:
    """Two thousand rows are two row groups; with room for one in a file they are two files, each of one class.

    Grey PNG and coloured JPEG images come out as RGB alike, in the order of the files.
    """

    def encoded(number: int, kind: str) -> bytes:
        buffer = io.BytesIO()
        grey = Image.new("L", (8, 8), number % 200)
        (grey if kind == "png" else grey.convert("RGB")).save(buffer, kind)
        return buffer.getvalue()

    rows = [
        shards.row_of(
            encoded(i, "png" if i % 2 else "jpeg"), i // 1_000, 0, "", "r", ImageSpec("0", "", i, 0, i, 1.0, "", "")
        )
        for i in range(2_000)
    ]
    most = max(sum(len(row[0]) for row in rows[start : start + 1_000]) for start in (0, 1_000))
    written = shards.write(lambda part: tmp_path / f"{part}.parquet", rows, NAMES, {}, most)
    files = [path for path, _ in written]
    assert len(files) == 2
    found = contact_sheet.by_class(files, NAMES, 3)
    assert {name: len(images) for name, images in found.items()} == {"cat": 3, "dog": 3}
    assert {image.mode for images in found.values() for image in images} == {"RGB"}
    shades = {name: [image.getpixel((4, 4)) for image in images] for name, images in found.items()}
    assert shades == {name: [(i, i, i) for i in range(3)] for name in NAMES}
    assert contact_sheet.by_class(files[1:], NAMES, 1)["cat"] == []


def test_a_value_missing_from_the_page_is_an_error_and_names_are_escaped() -> None:
    with pytest.raises(Exception, match="is undefined"):
        page.render({})
