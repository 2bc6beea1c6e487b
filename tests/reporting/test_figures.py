import base64
import io
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from pipeline.reporting import figures
from tests.reporting.histories import arm

NAMES = ["cat", "dog"]
SVG = "{http://www.w3.org/2000/svg}"


def labels(drawn: str) -> list[str]:
    """Return the texts of an SVG element."""
    return ["".join(text.itertext()).strip() for text in ElementTree.fromstring(drawn).iter(f"{SVG}text")]


def strokes(drawn: str) -> set[tuple[str, str]]:
    """Return colour and dashes of every line of an SVG element."""
    found = set()
    for path in ElementTree.fromstring(drawn).iter(f"{SVG}path"):
        style = dict(part.split(": ") for part in path.get("style", "").split("; ") if part)
        if style.get("fill") == "none":
            found.add((style.get("stroke", ""), style.get("stroke-dasharray", "")))
    return found


def test_the_shipped_fills_keep_their_colours_and_lines() -> None:
    """none, transforms and synthetic: dotted grey, dashed vermilion, solid blue."""
    assert [figures.style(place) for place in range(3)] == [("#555555", ":"), ("#d55e00", "--"), ("#0072b2", "-")]


def test_eight_fills_differ_in_colour_and_in_line_and_64_in_one_of_them() -> None:
    first = [figures.style(place) for place in range(8)]
    assert len({colour for colour, _ in first}) == len({line for _, line in first}) == 8
    assert len({figures.style(place) for place in range(64)}) == 64


def test_eight_colours_are_apart_in_brightness_or_hue_for_colour_blind_readers() -> None:
    """Okabe and Ito chose colours that stay apart without red-green vision: here, by what is left of them then.

    Roughly, red and green are mixed as a deuteranope sees them (0.625 red + 0.375 green) and blue stays: 30 of 255
    apart in one of the two.
    """
    seen = []
    for place in range(8):
        red, green, blue = (int(figures.style(place)[0][i : i + 2], 16) for i in (1, 3, 5))
        seen.append((0.625 * red + 0.375 * green, blue))
    for i, one in enumerate(seen):
        for other in seen[:i]:
            assert max(abs(a - b) for a, b in zip(one, other, strict=True)) >= 30, (one, other)


def test_heat_maps_print_each_count_and_class_name() -> None:
    before, after = figures.heat_maps(np.array([[17, 0]]), np.array([[17, 23]]), NAMES)
    assert {"17", "0", "cat", "dog", "before: real images"} <= set(labels(before))
    assert {"17", "23", "after: every deficit filled"} <= set(labels(after))


def test_class_and_client_names_are_drawn_as_they_are_written() -> None:
    """``$`` begins no formula, and letters that no font of this machine has stay what they are."""
    for drawn in figures.heat_maps(np.array([[17, 0]]), np.array([[17, 23]]), ["$x_1$", "鳥"], ["a$b_c$"]):
        assert {"$x_1$", "1: 鳥", "a$b_c$"} <= set(labels(drawn))


def test_curves_are_svg_without_clock_or_random_names() -> None:
    drawn = [figures.curves([arm({1: [0.1, 0.2]})], ["none"], "fedavg", {"central-real": 0.8}) for _ in range(2)]
    assert drawn[0] == drawn[1]
    assert drawn[0].startswith("<svg")
    assert not re.search(r"20\d\d-\d\d-\d\d", drawn[0])


def test_curves_name_every_fill_and_reference_in_the_legend() -> None:
    """Nine fills, of which no code knows a name."""
    fills = [f"fill-{i}" for i in range(9)]
    arms = [arm({1: [0.1, 0.2]}, fill=fill) for fill in fills]
    drawn = figures.curves(arms, fills, "moon, equal steps", {"central-real": 0.8, "central-other": 0.7})
    assert {*fills, "central-real", "central-other", "moon, equal steps"} <= set(labels(drawn))


def test_a_fill_keeps_its_style_in_a_figure_that_lacks_other_fills() -> None:
    fills = ["none", "transforms", "synthetic"]
    alone = figures.curves([arm({1: [0.1, 0.2]}, fill="synthetic")], fills, "t", {})
    assert "#0072b2" in {colour for colour, _ in strokes(alone)}
    assert "#555555" not in {colour for colour, _ in strokes(alone)}


def test_the_line_is_the_mean_and_the_band_reaches_from_the_lowest_to_the_highest_seed() -> None:
    """Seeds 0.2 and 0.4 in round 1, 0.6 and 1.0 in round 2: the line from 30 to 80, the band from 20-40 to 60-100.

    The axis goes from 0 to 100, so a height in the picture is linear in percent: two grid lines give the scale.
    """
    drawn = figures.curves([arm({1: [0.2, 0.6], 2: [0.4, 1.0]})], ["none"], "t", {})
    root = ElementTree.fromstring(drawn)
    axes = next(g for g in root.iter(f"{SVG}g") if g.get("id") == "axes_1")
    corners = re.findall(r"[ML] ([\d.]+) ([\d.]+)", next(axes.iter(f"{SVG}path")).get("d", ""))
    heights = [float(y) for _, y in corners]
    bottom, top = max(heights), min(heights)

    def percent(path: ElementTree.Element, start: float = 0) -> list[float]:
        """Return the heights of a path's corners in percent."""
        corners = re.findall(r"(-?[\d.]+) (-?[\d.]+)", path.get("d", ""))
        return [100 * (bottom - start - float(y)) / (bottom - top) for _, y in corners]

    grey = [path for path in axes.iter(f"{SVG}path") if "stroke: #555555" in path.get("style", "")]
    (line,) = [path for path in grey if "stroke-width: 1.5" in path.get("style", "") and len(percent(path)) == 2]
    assert percent(line) == pytest.approx([30, 80], abs=0.1)
    (band,) = [group for group in axes.iter(f"{SVG}g") if "FillBetween" in group.get("id", "")]
    (shape,), (use,) = band.iter(f"{SVG}path"), band.iter(f"{SVG}use")
    found = sorted({round(value, 1) for value in percent(shape, float(use.get("y", "")))})
    assert found == pytest.approx([20, 40, 60, 100], abs=0.1)


def test_a_picture_becomes_the_source_of_an_html_image() -> None:
    text = figures.png(Image.new("RGB", (2, 3), "red"))
    head, data = text.split(",")
    assert head == "data:image/png;base64"
    image = Image.open(io.BytesIO(base64.b64decode(data)))
    assert (image.size, image.getpixel((0, 0))) == ((2, 3), (255, 0, 0))
