"""A template and values as one HTML file that loads nothing: style, script and pictures are inside it."""

import base64
import hashlib
from collections.abc import Mapping
from importlib.resources import files

import jinja2
import markupsafe
from markupsafe import Markup

from pipeline import printable
from pipeline.reporting.charts import palette


def render(template: str, values: Mapping[str, object]) -> str:
    """Return the page of a template of this folder; a value that it names and ``values`` lacks is an error.

    The page's policy allows its own script by its digest and no other, so that text of strangers that was escaped
    wrongly would still do nothing.
    """
    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined,
        autoescape=True,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style, script = _read("page.css") + palette.css(), _read("page.js") + _read("network.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    shared = {"style": Markup(style), "script": Markup(script), "policy": policy}
    return environment.from_string(_read(template)).render({**values, **shared}) + "\n"


def _read(name: str) -> str:
    return files("pipeline.reporting").joinpath(name).read_text(encoding="utf-8")


def _shown(value: object) -> object:
    """Return a text without marks that would turn around the reading direction of what follows; figures as they are."""
    return printable.escaped(value) if isinstance(value, str) and not isinstance(value, markupsafe.Markup) else value
