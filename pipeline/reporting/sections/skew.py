"""How skewed clients are before and after the fill, and who holds what."""

from collections.abc import Mapping, Sequence

from pipeline.artifacts.deficits import Deficits
from pipeline.artifacts.holdings import Holdings
from pipeline.artifacts.partition import Partition
from pipeline.fills.common.given import REAL
from pipeline.reporting import tables
from pipeline.reporting.charts import cells, rows
from pipeline.reporting.charts.rows import Row
from pipeline.reporting.page import Charts, Folded, Part, Section, Shown, Text
from pipeline.reporting.skew import FillSkew
from pipeline.reporting.summary import Summary

_MEANING = (
    "How far the clients' label distributions are from that of all clients together; none is before the fill. In "
    "parentheses, and as ticks in the charts: what clients of the same sizes show that get their images at random. "
    "Distances are from 0 to 1, and averaged over clients by their images. Effective classes, exp of the entropy, "
    "are a plain mean over clients. A missing cell is a client without an image of a class that others hold."
)
_HOLDINGS = (
    "All clients together. Own images that a client trains on once more are added ones. The last column counts the "
    "classes of each client of which it has an image."
)
_MEASURES = (
    ("Jensen-Shannon distance", "jensen_shannon", "0: all clients alike"),
    ("Missing cells", "missing_cells", "share of the pairs of a client and a class"),
)

_TICKS = (0.0, 0.25, 0.5, 0.75, 1.0)


def make(
    summary: Summary, held: Sequence[Holdings], split: Partition, lacks: Deficits, places: Mapping[str, int]
) -> Section:
    """Return the section; ``places`` decide the fills' colours."""
    images: list[Part] = [Text(_HOLDINGS), Shown(tables.images(held, REAL)), _maps(split, lacks)]
    return Section("Skew of the clients before and after the fill", [*before_and_after(summary, places), *images])


def before_and_after(summary: Summary, places: Mapping[str, int]) -> list[Part]:
    """Return charts and the table of skew; it is said if none was measured."""
    if not summary.skew:
        return [Text("No skew was measured.")]
    charts = [
        rows.draw([_row(one, name, places) for one in summary.skew], title, unit=unit, ticks=_TICKS)
        for title, name, unit in _MEASURES
    ]
    return [Charts(charts, wide=True), Text(_MEANING), Shown(tables.skew(summary))]


def _row(one: FillSkew, name: str, places: Mapping[str, int]) -> Row:
    value, floor = getattr(one.clients, name), getattr(one.iid, name)
    label = f"{one.fill} (before)" if one.fill == "none" else one.fill
    tip = f"{value:.2f}; clients with images at random: {floor:.2f}"
    return Row(label, value, f"{value:.2f}", places.get(one.fill, 0), floor=floor, tip=tip)


def _maps(split: Partition, lacks: Deficits) -> Part:
    clients = split.client_names or [str(client) for client in range(split.client_count)]
    after = lacks.filled
    top = int(after.max())
    drawn = [
        cells.draw(counts, split.pair_names, clients, title, top)
        for counts, title in ((lacks.have, "Before: real images"), (after, "After: every deficit filled"))
    ]
    return Folded("Who holds which class", [Charts(drawn, wide=True)])
