"""What a page is made of, and the one HTML file that it becomes; the report's and a sweep's pages share both."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from markupsafe import Markup

from pipeline.reporting import html
from pipeline.reporting.tables import Table


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str
    kind: ClassVar[str] = "text"


@dataclass(frozen=True)
class Items:
    """A list of names, each with what it means."""

    items: Mapping[str, str]
    kind: ClassVar[str] = "items"


@dataclass(frozen=True)
class Charts:
    """Charts side by side, as many as fit; ``wide`` gives each at least half of a desktop's width."""

    charts: Sequence[Markup]
    wide: bool = False
    kind: ClassVar[str] = "charts"


@dataclass(frozen=True)
class Shown:
    """A table; its first ``names`` columns are text, the others numbers. Cells may be Markup."""

    table: Table
    names: int = 1
    kind: ClassVar[str] = "table"


@dataclass(frozen=True)
class Settings:
    """Names and values in two columns."""

    values: Mapping[str, str]
    kind: ClassVar[str] = "settings"


@dataclass(frozen=True)
class Strip:
    """Images side by side, as the source of one HTML image; ``side`` is that of one image as shown, in pixels."""

    label: str
    source: str
    count: int
    side: int


@dataclass(frozen=True)
class Sheet:
    """The images of one class; ``grade`` is good, doubtful, bad or empty, ``remark`` says why."""

    name: str
    strips: Sequence[Strip]
    grade: str = ""
    remark: str = ""


@dataclass(frozen=True)
class Sheets:
    """Images by class."""

    sheets: Sequence[Sheet]
    kind: ClassVar[str] = "sheets"


@dataclass(frozen=True)
class Picture:
    """One image in its own size, with the text that stands for it."""

    source: str
    width: int
    alt: str
    kind: ClassVar[str] = "picture"


@dataclass(frozen=True)
class Folded:
    """Parts that are shown when a reader opens them, and in a print."""

    title: str
    parts: Sequence["Part"]
    kind: ClassVar[str] = "folded"


@dataclass(frozen=True)
class Live:
    """Parts that the page's script computes again when a reader changes the form; without scripts there is no form."""

    form: Markup
    parts: Sequence["Part"]
    data: Markup
    """JSON as text of an element, see :func:`embedded`."""
    kind: ClassVar[str] = "live"


Part = Text | Items | Charts | Shown | Settings | Sheets | Picture | Folded | Live


def embedded(value: object) -> Markup:
    """Return a value as JSON that is text anywhere in a page: no character of it is one of HTML's."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    for character in "&<>":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


@dataclass(frozen=True)
class Section:
    """A heading and what is below it."""

    title: str
    parts: Sequence[Part]


@dataclass(frozen=True)
class Verdict:
    """The answer in one sentence; ``clear`` only if interval and p agree."""

    sentence: str
    clear: bool = False
    more: Sequence[str] = ()
    """Sentences below it."""
    facts: Sequence[tuple[str, str]] = ()
    """Numbers with what they count, such as ("6", "partitions")."""


@dataclass(frozen=True)
class Page:
    """A whole page."""

    title: str
    """Of the window."""
    heading: str
    verdict: Verdict
    remarks: Sequence[str]
    """What a reader should know before the numbers are used."""
    sections: Sequence[Section]


def render(page: Page) -> str:
    """Return the page as HTML that loads nothing; texts are escaped, charts are not."""
    return html.render("page.html.j2", vars(page))
