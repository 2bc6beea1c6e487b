"""HTML and SVG elements as text that is escaped once, and numbers as short text."""

import markupsafe
from markupsafe import Markup

from pipeline import printable


def element(tag: str, *children: object, **attributes: object) -> Markup:
    """Return an element; text among ``children`` and in attributes is escaped, Markup stays, None is left out.

    ``class_`` is the attribute class, and ``data_tip`` is data-tip: other names keep their letters.
    """
    given = {name.rstrip("_").replace("_", "-"): text(value) for name, value in attributes.items() if value is not None}
    inner = Markup("").join(text(child) for child in children if child is not None)
    # XML reads a line end in an attribute as a space, so it is written as its number.
    told = ((Markup(name), value.replace("\n", Markup("&#10;"))) for name, value in given.items())
    listed = Markup("").join(Markup(' {}="{}"').format(name, value) for name, value in told)
    return Markup("<{0}{1}>{2}</{0}>").format(Markup(tag), listed, inner)


def text(value: object) -> Markup:
    """Return a value escaped, without marks that turn the reading direction around; line ends stay."""
    if isinstance(value, Markup):
        return value
    if isinstance(value, float):
        value = number(value, 2)
    return markupsafe.escape("\n".join(printable.escaped(line) for line in str(value).split("\n")))


def number(value: float, decimals: int = 1) -> str:
    """Return a number with at most ``decimals`` digits after the point and no zeros at its end; never ``-0``."""
    shown = f"{value:.{decimals}f}"
    shown = shown.rstrip("0").rstrip(".") if "." in shown else shown
    return "0" if shown == "-0" else shown
