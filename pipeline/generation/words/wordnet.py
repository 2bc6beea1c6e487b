"""WordNet 3.0's nouns: the words that stand for an id such as ``n02690373``, read from the table in this folder."""

from functools import cache
from pathlib import Path

import pyarrow.parquet as pq

TABLE = Path(__file__).with_name("nouns.parquet")
"""Columns ``id``, the number after the ``n``, and ``words``; ``make_wordnet`` makes it; see LICENSE.wordnet."""


def words(number: int) -> str | None:
    """Return the words for a noun by its id's number, None if there is no such noun; no two nouns have the same."""
    return _table().get(number)


def spells(name: str) -> bool:
    """Return whether WordNet itself writes a noun like this, with its dashes and capitals."""
    return name in _names()


@cache
def _table() -> dict[int, str]:
    table = pq.read_table(TABLE)
    return dict(zip(table["id"].to_pylist(), table["words"].to_pylist(), strict=True))


@cache
def _names() -> frozenset[str]:
    return frozenset(_table().values())
