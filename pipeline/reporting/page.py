"""Put the report's page together: one HTML file that needs nothing else."""

from collections.abc import Mapping
from importlib.resources import files
from typing import Any

import jinja2


def render(values: Mapping[str, Any]) -> str:
    """Return the page; a value that the template names and ``values`` lacks is an error."""
    source = files("pipeline.reporting").joinpath("page.html.j2").read_text(encoding="utf-8")
    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined, autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(source).render(values) + "\n"
