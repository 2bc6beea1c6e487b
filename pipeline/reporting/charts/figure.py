"""What all charts share: the frame with its title, the legend, and the sentence for a screen reader."""

from collections.abc import Iterable

from markupsafe import Markup

from pipeline.reporting.charts.markup import element
from pipeline.reporting.charts.palette import style

KEYS = "Arrow keys read the values."


def frame(title: str, *parts: object, kind: str = "", about: str = "") -> Markup:
    """Return a figure that keys can enter; ``about`` is read by a screen reader after the title."""
    spoken = " ".join(part for part in (f"{title}.", about, KEYS) if part)
    head = element("figcaption", title) if title else None
    return element("figure", head, *parts, class_=f"chart {kind}".strip(), tabindex=0, role="group", aria_label=spoken)


def legend(entries: Iterable[tuple[str, int, str]]) -> Markup:
    """Return names beside the stroke that stands for each; an entry is name, place of the style, and its value."""
    items = []
    for name, place, value in entries:
        colour, dashes = style(place)
        stroke = element("line", x1=1, x2=25, y1=6, y2=6, class_=f"line {colour}", stroke_dasharray=dashes or None)
        swatch = element("svg", stroke, width=26, height=12, aria_hidden="true")
        shown = element("b", value) if value else None
        items.append(element("li", swatch, element("span", name), shown))
    return element("ul", *items, class_="legend")
