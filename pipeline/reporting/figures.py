"""The page's figures as SVG or PNG text, equal for equal numbers."""

import base64
import io
from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from pipeline.reporting import heatmap
from pipeline.reporting.arms import ArmRuns

# Colours that colour-blind readers can tell apart (Okabe and Ito, their yellow left out, since it is faint on white).
_COLOURS = ("#555555", "#d55e00", "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#000000")
_LINES = (":", "--", "-", "-.", (0, (5, 1)), (0, (1, 1)), (0, (3, 1, 1, 1, 1, 1)), (0, (8, 3)))
_REFERENCES = ("#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_LEGEND_COLUMNS = 3
_SETTINGS = {"svg.hashsalt": "gen-fedsd", "svg.fonttype": "none", "font.size": 10, "text.parse_math": False}


def style(place: int) -> tuple[str, object]:
    """Return colour and line style of the fill at a place among the fills; 64 differ, and 8 in both."""
    turn = place // len(_COLOURS)
    return _COLOURS[place % len(_COLOURS)], _LINES[(place + turn) % len(_LINES)]


def svg(figure: Figure) -> str:
    """Return a figure as an SVG element without clock or random ids."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def heat_maps(before: NDArray[np.int64], after: NDArray[np.int64], class_names: Sequence[str]) -> list[str]:
    """Return the client x label maps of real images, and of these with every deficit filled, on one colour scale."""
    made = []
    for counts, title in ((before, "before: real images"), (after, "after: every deficit filled")):
        with mpl.rc_context(_SETTINGS):
            figure = Figure(figsize=(5, 1.6 + min(0.26 * len(counts), 8)), layout="constrained")
            heatmap.draw(figure.add_subplot(), counts, class_names, title, int(after.max()))
            made.append(svg(figure))
    return made


def curves(arms: Sequence[ArmRuns], fills: Sequence[str], title: str, references: Mapping[str, float]) -> str:
    """Return accuracy over rounds: a line for each arm's mean, a band from its lowest to its highest seed.

    The place of an arm's fill among ``fills`` decides colour and line style, so that figures of one page agree.
    ``references`` are accuracies by name, drawn as thin horizontal lines.
    """
    with mpl.rc_context(_SETTINGS):
        rows = -(-(len(arms) + len(references)) // _LEGEND_COLUMNS)
        figure = Figure(figsize=(5, 3.4 + 0.2 * rows), layout="constrained")
        axes = figure.add_subplot()
        for arm in arms:
            colour, line = style(fills.index(arm.fill))
            rounds = [number for number, _ in arm.curve()]
            values = [[100 * share for share in shares] for _, shares in arm.curve()]
            axes.fill_between(rounds, [*map(min, values)], [*map(max, values)], color=colour, alpha=0.15, linewidth=0)
            axes.plot(rounds, [*map(np.mean, values)], linestyle=line, color=colour, label=arm.fill)
        for place, (name, value) in enumerate(references.items()):
            colour = _REFERENCES[place % len(_REFERENCES)]
            axes.axhline(100 * value, color=colour, linewidth=1, label=name)
        axes.set(title=title, xlabel="round", ylabel="test accuracy, %", ylim=(0, 100))
        axes.grid(alpha=0.3)
        figure.legend(fontsize=8, loc="outside lower center", ncols=_LEGEND_COLUMNS)
        return svg(figure)


def png(image: Image.Image) -> str:
    """Return an image as the ``src`` of an HTML element."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
