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
from pipeline.reporting.summary import Arm

# Colours that stay apart for colour-blind readers (Okabe and Ito); line styles tell them apart in print.
STYLES = {
    "synthetic": ("#0072b2", "-"),
    "transforms": ("#d55e00", "--"),
    "none": ("#555555", ":"),
}
_SETTINGS = {"svg.hashsalt": "gen-fedsd", "svg.fonttype": "none", "font.size": 10}


def svg(figure: Figure) -> str:
    """Return a figure as an SVG element without clock or random ids."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def heat_maps(before: NDArray[np.int64], after: NDArray[np.int64], class_names: Sequence[str]) -> list[str]:
    """Return the client x label maps of real images and of real plus synthetic ones, on one colour scale."""
    made = []
    for counts, title in ((before, "before: real images"), (after, "after: real and synthetic images")):
        with mpl.rc_context(_SETTINGS):
            figure = Figure(figsize=(5, 1.6 + min(0.26 * len(counts), 8)), layout="constrained")
            heatmap.draw(figure.add_subplot(), counts, class_names, title, int(after.max()))
            made.append(svg(figure))
    return made


def curves(arms: Mapping[str, Arm], title: str, references: Mapping[str, float]) -> str:
    """Return accuracy over rounds: a line for each fill's mean, a band from its lowest to its highest seed."""
    with mpl.rc_context(_SETTINGS):
        figure = Figure(figsize=(5, 3.6), layout="constrained")
        axes = figure.add_subplot()
        for fill, arm in arms.items():
            rounds, mean, low, high = np.array(arm.curve()).T
            colour, line = STYLES[fill]
            axes.fill_between(rounds, 100 * low, 100 * high, color=colour, alpha=0.15, linewidth=0)
            axes.plot(rounds, 100 * mean, line, color=colour, label=fill)
        for name, value in references.items():
            axes.axhline(
                100 * value, color="#009e73" if name == "real" else "#cc79a7", linewidth=1, label=f"central, {name}"
            )
        axes.set(title=title, xlabel="round", ylabel="test accuracy, %", ylim=(0, 100))
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8, loc="lower right")
        return svg(figure)


def png(image: Image.Image) -> str:
    """Return an image as the ``src`` of an HTML element."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
