"""How foreign text is written in a card: as Markdown that shows it, and as Python that means it.

Class names, recipes and remarks may come from a stranger's manifest. On the card they are words, never markup, links,
HTML or code.
"""

import json
import math
import re
from collections.abc import Mapping

from pipeline import printable

_MOST = 4_000
"""Characters of a value that are shown."""
_MARKUP = re.compile(r"[\\`*_\[\]<>&|~$]")
_LINK = re.compile(r"(?i)\b(https?|ftp|mailto|xmpp|www)([:.])")  # what GitHub's Markdown turns into a link by itself
_BLOCK = re.compile(r"^(\d*)([-+=:#.)])")  # begins a list, a heading or a rule
_ENTITIES = {"<": "&lt;", ">": "&gt;", "&": "&amp;"}


def inline(value: object) -> str:
    """Return a value as Markdown that shows it as words of one line, in a cell of a table or inside a sentence."""
    text = value if isinstance(value, str) else "" if value is None else json.dumps(value, ensure_ascii=False)
    text = _MARKUP.sub(lambda found: _ENTITIES.get(found[0], f"\\{found[0]}"), printable.line(text, _MOST))
    return _LINK.sub(r"\1\\\2", text) or "(none)"


def paragraph(value: object) -> str:
    """Return a value as Markdown that shows it as words of one line, also where a line begins."""
    return _BLOCK.sub(r"\1\\\2", inline(value))


def python(value: object) -> str:
    """Return the Python literal of a JSON value, on one line and without a harmful character.

    Raises TypeError for what JSON does not know.
    """
    match value:
        case None | bool() | int():
            return repr(value)
        case float():
            return repr(value) if math.isfinite(value) else f'float("{value}")'
        case str():
            quoted = value.replace("\\", "\\\\").replace('"', '\\"')
            return f'"{printable.escaped(quoted)}"'
        case list() | tuple():
            return f"[{', '.join(map(python, value))}]"
        case Mapping():
            return f"{{{', '.join(f'{python(key)}: {python(one)}' for key, one in value.items())}}}"
    raise TypeError(f"{type(value).__name__} is no JSON value")
