"""A page as Markdown for readers of a repository: verdict, remarks, tables and line charts; the rest stays in HTML."""

from dataclasses import replace
from importlib.resources import files

import jinja2
from markupsafe import Markup

from pipeline.hub import escapes
from pipeline.reporting.charts import standalone
from pipeline.reporting.page import Charts, Folded, Page, Part


def render(page: Page, html: str) -> tuple[str, dict[str, str]]:
    """Return the page as Markdown, and the SVG files that it shows, by name.

    Charts of lines are such files; a link to the file ``html`` stands for other charts and pictures.
    """
    pictures: dict[str, str] = {}

    def picture(part: Charts) -> str:
        drawn = [chart for chart in part.charts if standalone.is_drawn(chart)]
        if not drawn:
            return ""
        name = f"chart-{len(pictures) + 1}.svg"
        pictures[name] = standalone.draw(drawn)
        return name

    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined, autoescape=False, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"cell": _cell, "paragraph": escapes.paragraph, "picture": picture}
    sections = [replace(one, parts=[part for part in one.parts if not _only_drawn(part)]) for one in page.sections]
    template = files("pipeline.reporting").joinpath("page.md.j2").read_text(encoding="utf-8")
    text = environment.from_string(template).render({**vars(page), "sections": sections, "html": html})
    return text.rstrip("\n") + "\n", pictures


def _only_drawn(part: Part) -> bool:
    """Tell whether a part is folded charts: one link for a section is enough."""
    return isinstance(part, Folded) and all(one.kind == "charts" for one in part.parts)


def _cell(value: object) -> str:
    """Return what a cell of a table shows; Markup, such as a bold number, is HTML that Markdown allows."""
    return str(value).replace("|", "&#124;").replace("\n", " ") if isinstance(value, Markup) else escapes.inline(value)
