"""Text that a person reads or a spreadsheet opens, where parts of it were written by strangers.

A class name, a recipe or a file name may hold escape sequences that drive a terminal, marks that turn the reading
direction around, line ends that pretend to be further messages, or a spreadsheet's formulas.
"""

import re
import unicodedata

_HARMFUL = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})  # controls, invisible marks, halves of characters, line ends
_JOINERS = "\u200c\u200d"  # invisible, but words of Persian and Hindi are misspelt without them
_LINE_ENDS = re.compile(r"\s*[\n\r\v\f\x85\u2028\u2029]\s*")
# What an import may drop before it looks for a formula.
_SKIPPED = r"[\" \v\f\x00-\x08\x0e-\x1f\x7f-\xa0\u1680\u2000-\u200f\u2028-\u202f\u205f-\u206f\u3000\ufeff]"
_FORMULA = rf"('*{_SKIPPED}*[=+\-@\uff1d\uff0b\uff0d\uff20])"
_CELL = r"(^|[;\t\n\r])"  # a spreadsheet may split at these, whatever separates the columns


def escaped(value: object) -> str:
    """Return a value as text in which each harmful character is replaced by its escape sequence, such as ``\\x1b``.

    Letters and digits of every script stay as they are.
    """
    text = str(value)
    if text.isascii() and text.isprintable():
        return text
    return "".join(_visible(character) for character in text)


def line(value: object, most: int = 2_000) -> str:
    """Return a value as one line: line ends become spaces, the middle of more than ``most`` characters is left out."""
    text = str(value)
    if len(text) > most:
        end = most // 4
        text = f"{text[: most - end]} [... {len(text) - most} more characters ...] {text[-end:]}"
    return escaped(_LINE_ENDS.sub(" ", text.strip()))


def short(value: object, most: int) -> str:
    """Return a value as one line of at most ``most`` characters, the end left out."""
    text = line(value)
    return text if len(text) <= most else text[: most - 1] + "\u2026"


def csv_cell(text: str) -> str:
    """Return a text that no spreadsheet takes for a formula; ``from_csv_cell`` returns the very same text again."""
    return re.sub(_CELL + _FORMULA, r"\1'\2", text)


def from_csv_cell(cell: str) -> str:
    """Return the text that ``csv_cell`` made a cell of."""
    return re.sub(_CELL + "'" + _FORMULA, r"\1\2", cell)


def _visible(character: str) -> str:
    if unicodedata.category(character) in _HARMFUL and character not in _JOINERS:
        return character.encode("unicode_escape").decode("ascii")
    return character
