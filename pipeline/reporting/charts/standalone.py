"""Line charts as one SVG file that needs no page: readers of a repository see it where HTML is not shown."""

import textwrap
from collections.abc import Sequence
from importlib.resources import files
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from markupsafe import Markup

from pipeline.reporting.charts import palette
from pipeline.reporting.charts.markup import element

COLUMNS = 2
_SCALE = 1.25
_PAD, _HEAD, _LINE = 14, 26, 18
_LETTERS = 58
"""Of a line of the unit's text, which is as wide as a chart."""


def is_drawn(chart: Markup) -> bool:
    """Tell whether a chart is of lines, which is one SVG; bars are rows of HTML."""
    return chart.startswith('<figure class="chart lines"')


def draw(charts: Sequence[Markup]) -> str:
    """Return line charts, ``COLUMNS`` side by side, with titles and legends, light or dark as the system is."""
    cells = [_cell(ElementTree.fromstring(chart)) for chart in charts]
    wide = max(width for _, width, _ in cells) + 2 * _PAD
    placed: list[Markup] = []
    top = 0.0
    for start in range(0, len(cells), COLUMNS):
        row = cells[start : start + COLUMNS]
        for column, (cell, _, _) in enumerate(row):
            placed.append(element("g", cell, transform=f"translate({wide * column + _PAD:.0f} {top + _PAD:.0f})"))
        top += max(height for _, _, height in row) + 2 * _PAD
    width = wide * min(COLUMNS, len(cells))
    page = files("pipeline.reporting").joinpath("page.css").read_text(encoding="utf-8")
    style = element("style", Markup("{}{}").format(Markup(page), Markup(palette.css())))
    paper = element("rect", width=width, height=top, style="fill:var(--paper)")
    box = f"0 0 {width:.0f} {top:.0f}"
    sizes = {"width": round(_SCALE * width), "height": round(_SCALE * top), "viewBox": box}
    whole = element("svg", style, paper, *placed, xmlns="http://www.w3.org/2000/svg", font_family="sans-serif", **sizes)
    return f"{whole}\n"


def _cell(figure: Element) -> tuple[Markup, float, float]:
    """Return one chart with its title above and its legend below, and its width and height."""
    title, unit, drawn, legend = (figure.find(name) for name in ("figcaption", "p", "svg", "ul"))
    assert drawn is not None
    width, height = (float(one) for one in drawn.attrib["viewBox"].split()[2:])
    for strip in drawn.findall("g"):  # what a pointer reads on a page
        drawn.remove(strip)
    told = textwrap.wrap(_text(unit), _LETTERS)
    top = _HEAD + _LINE * len(told)
    inner = Markup("").join(Markup(ElementTree.tostring(one, "unicode")) for one in drawn)
    parts = [
        element("text", _text(title), y=12, style="font-size:13px;font-weight:600;fill:var(--ink)"),
        *(element("text", line, y=12 + _LINE * turn) for turn, line in enumerate(told, 1)),
        element("g", inner, transform=_at(top)),
    ]
    for turn, entry in enumerate(legend if legend is not None else ()):
        down = top + height + _LINE * (turn + 0.6)
        stroke = entry.find("svg/line")
        swatch = Markup(ElementTree.tostring(stroke, "unicode")) if stroke is not None else None
        parts.append(element("g", swatch, element("text", _text(entry.find("span")), x=34, y=10), transform=_at(down)))
    entries = 0 if legend is None else len(legend)
    return element("g", *parts, class_="chart"), width, top + height + _LINE * (entries + 0.6)


def _at(down: float) -> str:
    return f"translate(0 {down:.0f})"


def _text(found: Element | None) -> str:
    return "" if found is None else "".join(found.itertext())
