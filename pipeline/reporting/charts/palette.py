"""Colours and dashes of fills, equal on both pages and in ``dvc plots``."""

COLOURS = ("#555555", "#d55e00", "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#000000")
"""That colour-blind readers can tell apart (Okabe and Ito; their yellow left out, since it is faint on white)."""
DARK = ("#b4b4b4", "#f0703a", "#58adf0", "#f7c64f", "#2fc79a", "#ee9fd4", "#a5dcff", "#f4f4f4")
"""The same hues on a dark page."""
DASHES = ("1 4", "6 4", "", "7 3 1 3", "9 2", "2 2", "6 2 1 2 1 2", "12 4")
"""Lengths of stroke and gap."""


def style(place: int) -> tuple[str, str]:
    """Return the CSS class of the colour and the dashes of the fill at a place; 64 differ, and 8 in both."""
    turn = place // len(COLOURS)
    return f"s{place % len(COLOURS)}", DASHES[(place + turn) % len(DASHES)]


def css() -> str:
    """Return the style sheet's part that says what the classes' colours are, light and dark."""
    names = "".join(f".s{place}{{--c:var(--s{place})}}" for place in range(len(COLOURS)))
    light, dark = (
        "".join(f"--s{place}:{colour};" for place, colour in enumerate(colours)) for colours in (COLOURS, DARK)
    )
    return f":root{{{light}}}\n@media screen and (prefers-color-scheme: dark){{:root{{{dark}}}}}\n{names}"
