import re

import pytest

from pipeline.reporting.charts import palette
from pipeline.reporting.charts.palette import COLOURS, DARK, style


def test_the_shipped_fills_keep_their_colours_and_dashes() -> None:
    """none, transforms and synthetic: dotted grey, dashed vermilion, solid blue."""
    assert [style(place) for place in range(3)] == [("s0", "1 4"), ("s1", "6 4"), ("s2", "")]


def test_eight_fills_differ_in_colour_and_in_dashes_and_64_in_one_of_them() -> None:
    first = [style(place) for place in range(8)]
    assert len({colour for colour, _ in first}) == len({dashes for _, dashes in first}) == 8
    assert len({style(place) for place in range(64)}) == 64


def parts(colour: str) -> tuple[int, ...]:
    return tuple(int(colour[i : i + 2], 16) for i in (1, 3, 5))


@pytest.mark.parametrize("colours", [COLOURS, DARK])
def test_eight_colours_are_apart_in_brightness_or_hue_for_colour_blind_readers(colours: tuple[str, ...]) -> None:
    """Okabe and Ito chose colours that stay apart without red-green vision: here, by what is left of them then.

    Roughly, red and green are mixed as a deuteranope sees them (0.625 red + 0.375 green) and blue stays: 25 of 255
    apart in one of the two.
    """
    seen = [(0.625 * red + 0.375 * green, blue) for red, green, blue in map(parts, colours)]
    for i, one in enumerate(seen):
        for other in seen[:i]:
            assert max(abs(a - b) for a, b in zip(one, other, strict=True)) >= 25, (one, other)


def test_every_class_has_a_colour_on_a_light_and_on_a_dark_page() -> None:
    css = palette.css()
    light, dark = css.split("@media screen and (prefers-color-scheme: dark)")
    assert re.findall(r"--s\d:(#\w+);", light) == list(COLOURS)
    assert re.findall(r"--s\d:(#\w+);", dark) == list(DARK)
    assert re.findall(r"\.(s\d)\{--c:var\(--(s\d)\)\}", css) == [(f"s{i}", f"s{i}") for i in range(8)]
