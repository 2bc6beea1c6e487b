"""Recorded drop-outs: which client's update does not arrive in which round of which runs."""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline import atomic
from pipeline.errors import ArtifactError

_NUMBERS, _ARM = ("seed", "round", "client"), ("fill", "algorithm", "budget")
_FIX = "write a CSV file with the columns seed, round, client, and, if they differ by arm, fill, algorithm, budget"


@dataclass(frozen=True, slots=True)
class Dropout:
    """An update that does not arrive."""

    seed: int
    """The training seed of the run, as in ``train.seeds``."""
    round: int
    """From 1."""
    client: int
    fill: str | None = None
    """None: in the runs of every fill; likewise the next two."""
    algorithm: str | None = None
    budget: str | None = None

    def concerns(self, fill: str, algorithm: str, budget: str, seed: int) -> bool:
        """Tell whether it happens in a run."""
        pairs = zip((self.fill, self.algorithm, self.budget), (fill, algorithm, budget), strict=True)
        return self.seed == seed and all(own in (None, name) for own, name in pairs)


def save(path: Path, dropouts: Iterable[Dropout]) -> None:
    """Write drop-outs, with all columns; a name that is None stays empty."""
    with atomic.replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*_ARM, *_NUMBERS])
        writer.writerows([*(getattr(one, name) for name in (*_ARM, *_NUMBERS))] for one in dropouts)


def load(path: Path) -> list[Dropout]:
    """Read drop-outs; raise ArtifactError with the line at fault. Empty or missing names stand for every one."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = csv.reader(file, strict=True)
            head = next(lines, [])
            if len(set(head)) < len(head) or not set(_NUMBERS) <= set(head) <= {*_NUMBERS, *_ARM}:
                raise ArtifactError(f"columns {', '.join(head) or 'missing'}", path, _FIX)
            return [_read(head, line, f"{path}, line {lines.line_num}") for line in lines if line]
    except OSError as error:
        raise ArtifactError(f"cannot be read ({error.strerror})", path, _FIX) from None
    except (csv.Error, UnicodeDecodeError) as error:
        raise ArtifactError(f"is no CSV file ({error})", path, _FIX) from None


def _read(head: Sequence[str], line: Sequence[str], where: str) -> Dropout:
    if len(line) != len(head):
        raise ArtifactError(f"{len(line)} cells where the first line has {len(head)}", where, _FIX)
    cells = dict(zip(head, line, strict=True))
    try:
        seed, number, client = (int(cells[name]) for name in _NUMBERS)
    except ValueError:
        raise ArtifactError("seed, round and client are no whole numbers", where, _FIX) from None
    if number < 1 or client < 0:
        raise ArtifactError(f"round {number}, client {client}", where, "rounds count from 1, clients from 0") from None
    return Dropout(seed, number, client, *(cells.get(name) or None for name in _ARM))
