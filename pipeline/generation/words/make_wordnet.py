"""Make ``nouns.parquet``: words for every noun of WordNet 3.0, no two alike.

Needs the files of the Debian package wordnet-base. Run ``python -m pipeline.generation.words.make_wordnet FOLDER``,
where FOLDER has data.noun and index.noun; without it, /usr/share/wordnet.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import atomic
from pipeline.generation.words.wordnet import TABLE


@dataclass(frozen=True)
class Noun:
    """One meaning: its names, the usual one first, the meanings that it is a kind of, and its definition."""

    names: tuple[str, ...]
    kinds: tuple[int, ...]
    definition: str


def main(folder: Path) -> None:
    """Write the table beside this file."""
    nouns, first = read(folder / "data.noun"), first_meanings(folder / "index.noun")
    words = distinct(nouns, first)
    table = pa.table({"id": pa.array(sorted(words), pa.int32()), "words": [words[number] for number in sorted(words)]})
    encoding = {"id": "DELTA_BINARY_PACKED", "words": "DELTA_BYTE_ARRAY"}
    with atomic.replacing(TABLE) as temporary:
        pq.write_table(
            table, temporary, compression="zstd", compression_level=19, use_dictionary=False, column_encoding=encoding
        )


def read(path: Path) -> dict[int, Noun]:
    """Return the nouns by number; lines that begin with a blank are the licence. See wndb(5WN) for the format."""
    found = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith(" "):
            continue
        data, _, gloss = line.partition(" | ")
        number, _, _, count, *fields = data.split()
        names = fields[: 2 * int(count, 16) : 2]
        pointers = fields[2 * int(count, 16) + 1 :]
        kinds = [int(to) for kind, to in zip(pointers[::4], pointers[1::4], strict=True) if kind in ("@", "@i")]
        definition = gloss.partition(";")[0].strip()
        found[int(number)] = Noun(tuple(name.replace("_", " ") for name in names), tuple(kinds), definition)
    return found


def first_meanings(path: Path) -> dict[str, int]:
    """Return the most frequent meaning of each name, in small letters."""
    found = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith(" "):
            name, _, _, pointers, *fields = line.split()
            found[name.replace("_", " ")] = int(fields[int(pointers) + 2])
    return found


def distinct(nouns: dict[int, Noun], first: dict[str, int]) -> dict[int, str]:
    """Return words for each noun; no two nouns have words that differ only in the case of letters.

    A noun gets its first name, if that means this noun more often than any other. Else its kind follows in brackets.
    """
    plain = {number for number, noun in nouns.items() if first[noun.names[0].lower()] == number}
    words = {number: nouns[number].names[0] for number in sorted(plain)}
    taken = {text.lower() for text in words.values()}
    for number in sorted(set(nouns) - plain):
        words[number] = next(text for text in _candidates(nouns, number) if text.lower() not in taken)
        taken.add(words[number].lower())
    return words


def _candidates(nouns: dict[int, Noun], number: int) -> Iterator[str]:
    """Yield words for a noun whose first name has a more frequent meaning, the best ones first."""
    name, *others = nouns[number].names
    above = [nouns[kind].names[0] for kind in nouns[number].kinds]
    for said in above:
        if said.lower().split()[-1] not in name.lower().split():  # a "red fox (fox)" says nothing new
            yield f"{name} ({said})"
    for other in others:
        yield f"{name} ({other})"
    for kind in nouns[number].kinds:
        for over in nouns[kind].kinds:
            yield f"{name} ({', '.join((nouns[kind].names[0], nouns[over].names[0]))})"
    yield f"{name} ({nouns[number].definition})"


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "/usr/share/wordnet"))
