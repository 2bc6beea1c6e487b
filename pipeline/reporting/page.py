"""Put the report's page together: one HTML file that needs nothing else."""

from dataclasses import dataclass
from importlib.resources import files

import jinja2
import markupsafe

from pipeline import printable
from pipeline.reporting.tables import Table


@dataclass(frozen=True)
class Page:
    """What the page says; text is escaped, figures are SVG elements."""

    clients: int
    classes: int
    scheme: str
    """How the real images are partitioned."""
    headline: str
    remarks: tuple[str, ...]
    results: tuple[Table, ...]
    """One for each algorithm."""
    test_images: str
    seeds: str
    """How many seeds the means are over."""
    local_work: str
    """What a client does in a round under the budget of equal epochs."""
    fills: dict[str, str]
    """What each fill is."""
    references: dict[str, tuple[str, str]]
    """Accuracy and description of each central run."""
    central_steps: str
    curves: tuple[tuple[str, ...], ...]
    """Figures, a tuple for each algorithm."""
    over_clients: Table
    by_class: tuple[Table, ...]
    costs: Table
    weight_bytes: str
    shard_megabytes: str
    images: Table
    """What clients train on with each fill."""
    maps: tuple[str, ...]
    skew: Table
    """How skewed the clients' labels are, a row for each fill."""
    sheet: str
    """The contact sheet as the source of an HTML image."""
    settings: dict[str, str]
    times: dict[str, str]


def render(page: Page) -> str:
    """Return the page as HTML; a value that the template names and ``page`` lacks is an error."""
    source = files("pipeline.reporting").joinpath("page.html.j2").read_text(encoding="utf-8")
    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined, autoescape=True, finalize=_shown, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(source).render(vars(page)) + "\n"


def _shown(value: object) -> object:
    """Return a text without marks that would turn around the reading direction of what follows; figures as they are."""
    return printable.escaped(value) if isinstance(value, str) and not isinstance(value, markupsafe.Markup) else value
