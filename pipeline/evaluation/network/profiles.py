"""Network profiles: quantiles of bandwidth, round-trip time and loss over clients, as CSV files."""

import csv
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from pipeline.errors import ParameterError

FOLDER = Path(__file__).parent / "shipped"
_COLUMNS = ("quantile", "down_mbit_s", "up_mbit_s", "rtt_ms", "loss")
_SUFFIX = ".csv"
_MOST_BYTES = 10**6
_FIX = f"write a CSV file with the columns {', '.join(_COLUMNS)} (loss may be left out); see docs/network.md"


@dataclass(frozen=True)
class Profile:
    """Quantiles over clients, each column ascending in its own value; with one quantile, all clients have its values.

    Between two quantiles values are linear, below the lowest and above the highest they stay as they are there.
    """

    name: str
    """Of a shipped profile, or the path of a file as it was given."""
    quantiles: tuple[float, ...]
    """Ascending, above 0 and below 1."""
    down: tuple[float, ...]
    """Mbit/s from the server to the client."""
    up: tuple[float, ...]
    """Mbit/s from the client to the server."""
    rtt: tuple[float, ...]
    """Milliseconds of a round trip."""
    loss: tuple[float, ...] | None = None
    """Share of packets that are lost; None if the file has none."""
    source: str = ""
    """Where the numbers come from: the file's comment lines."""


def shipped() -> list[str]:
    """Return the names of the profiles that come with the package."""
    return sorted((path.stem for path in FOLDER.glob(f"*{_SUFFIX}")), key=lambda name: (name.lower(), name))


def load(name: str, folder: Path = Path()) -> Profile:
    """Return a shipped profile by its name, or the one of a CSV file by its path, which starts at ``folder``.

    Raises ParameterError with the file, the line and the value at fault.
    """
    if not name.lower().endswith(_SUFFIX):
        if name not in shipped():
            fix = f"name one of {', '.join(shipped())}, or a file that ends in {_SUFFIX}"
            raise ParameterError(f"no network profile {name!r}", "params.yaml, network.profiles", fix)
        return _read(FOLDER / f"{name}{_SUFFIX}", name)
    return _read(folder / name, name)


def _read(path: Path, name: str) -> Profile:
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ParameterError(f"larger than {_MOST_BYTES} bytes", path, _FIX)
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise ParameterError(f"cannot be read ({error.strerror})", path, _FIX) from None
    except UnicodeDecodeError:
        raise ParameterError("is no UTF-8 text", path, _FIX) from None
    comments = [line.lstrip("# ").strip() for line in lines if line.startswith("#")]
    rows = [(number, line) for number, line in enumerate(lines, 1) if line.strip() and not line.startswith("#")]
    columns = _columns(rows, path)
    quantiles, down, up, rtt, *loss = columns
    return Profile(name, quantiles, down, up, rtt, loss[0] if loss else None, " ".join(comments))


def _columns(rows: Sequence[tuple[int, str]], path: Path) -> list[tuple[float, ...]]:
    """Return the columns in the order of ``_COLUMNS``, of which the last may be missing."""
    cells = [(number, [cell.strip() for cell in line]) for number, line in _split(rows, path)]
    if len(cells) < 2:
        raise ParameterError("holds no quantile", path, _FIX)
    head = cells[0][1]
    names = [name for name in _COLUMNS if name in head]
    if sorted(head) != sorted(names) or names[:4] != list(_COLUMNS[:4]):
        raise ParameterError(f"columns {', '.join(head)}", path, _FIX)
    columns = []
    for name in names:
        place = head.index(name)
        found = [(number, _number(line, place, name, f"{path}, line {number}")) for number, line in cells[1:]]
        for (_, before), (number, value) in pairwise(found):
            if value < before or (name == "quantile" and value == before):
                what = f"{name} falls from {before} to {value}"
                raise ParameterError(what, f"{path}, line {number}", "sort each column by itself, the least first")
        columns.append(tuple(value for _, value in found))
    return columns


def _split(rows: Sequence[tuple[int, str]], path: Path) -> Iterator[tuple[int, list[str]]]:
    width = None
    for number, line in rows:
        try:
            cells = next(csv.reader([line], strict=True))
        except csv.Error as error:
            raise ParameterError(f"no CSV ({error})", f"{path}, line {number}", _FIX) from None
        width = len(cells) if width is None else width
        if len(cells) != width:
            raise ParameterError(f"{len(cells)} cells where the first line has {width}", f"{path}, line {number}", _FIX)
        yield number, cells


_BOUNDS: dict[str, tuple[Callable[[float], bool], str]] = {
    "quantile": (lambda value: 0 < value < 1, "above 0 and below 1"),
    "down_mbit_s": (lambda value: 1e-6 <= value <= 1e9, "from 0.000001 to 1e9"),
    "up_mbit_s": (lambda value: 1e-6 <= value <= 1e9, "from 0.000001 to 1e9"),
    "rtt_ms": (lambda value: 0 <= value <= 1e6, "from 0 to 1e6"),
    "loss": (lambda value: 0 <= value < 1, "from 0 to below 1"),
}


def _number(line: Sequence[str], place: int, name: str, where: str) -> float:
    fits, bounds = _BOUNDS[name]
    try:
        value = float(line[place])
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and fits(value)):
        raise ParameterError(f"{name} is {line[place]!r}", where, f"write a number {bounds}")
    return value
