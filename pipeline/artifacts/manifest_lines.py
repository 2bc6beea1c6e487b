"""The lines of the manifest: one client's shard, and its files."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Self

from pydantic import ConfigDict, Field

from pipeline import atomic

STRICT = ConfigDict(strict=True, extra="forbid")
"""How a manifest is read: no value is converted, none is ignored."""
Count = Annotated[int, Field(ge=0)]


@dataclass(frozen=True)
class File:
    """One file of a shard."""

    __pydantic_config__ = STRICT

    name: str
    rows: Count
    bytes: Count
    sha256: str

    @classmethod
    def of(cls, path: Path, rows: int) -> Self:
        """Describe a file that was just written."""
        return cls(path.name, rows, path.stat().st_size, atomic.sha256(path))


@dataclass(frozen=True)
class Refused:
    """What the gate refused of one client's images."""

    __pydantic_config__ = STRICT

    drawn: tuple[Count, ...]
    """Of each label, all that were drawn until enough passed."""
    counts: tuple[Count, ...]
    """Of each label, those that the client would have without the gate: with an index below the number of images."""
    files: tuple[File, ...]
    """These images; empty if there is none, or if a publication leaves them out."""

    def adds_up(self, wanted: tuple[int, ...]) -> bool:
        """Return whether these numbers can be where so many images of each label are wanted."""
        if self.files and sum(self.counts) != sum(file.rows for file in self.files):
            return False
        # Without refused images below the number that is wanted, as many have passed, and no other is drawn.
        columns = list(zip(self.drawn, self.counts, wanted, strict=False))
        possible = all(bool(drawn) == bool(below) and below <= min(drawn, most) for drawn, below, most in columns)
        return possible and len(self.drawn) == len(self.counts) == len(wanted)


@dataclass(frozen=True)
class Shard:
    """One client's line in the manifest."""

    __pydantic_config__ = STRICT

    client: int
    plan: str
    """Digest of the client's part of the plan."""
    counts: tuple[Count, ...]
    """Images of each label; with domains of each pair of label and domain, see ``artifacts.pairs``."""
    files: Annotated[tuple[File, ...], Field(min_length=1)]
    """One, or several for a client of many images."""
    refused: Refused | None = None
    """None without a gate."""

    @property
    def rows(self) -> int:
        return sum(file.rows for file in self.files)

    @property
    def refused_files(self) -> tuple[File, ...]:
        """The files of images that the gate refused."""
        return self.refused.files if self.refused is not None else ()

    @property
    def bytes(self) -> int:
        return sum(file.bytes for file in self.files)
