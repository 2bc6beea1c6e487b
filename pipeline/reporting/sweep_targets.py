"""What the runs of one fill at one setting of a sweep moved until the target."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.reporting.sweep_rows import Row


@dataclass(frozen=True)
class Reached:
    """How many replicates reach the target, which comes from the runs without a fill, and what they moved by then.

    Megabytes are those of all clients, both ways.
    """

    replicates: int
    of: int
    rounds: float | None
    """Mean over the replicates that reach it; None if none does."""
    megabytes: float | None
    """Without images; likewise."""
    images: float | None = None
    """Megabytes of synthetic images, once, mean over all replicates; None if the table does not say."""
    least: float | None = None
    """With images, mean over all replicates: one that never reaches the target counts with all that it moved, so the
    mean is then a lower bound. None if the table does not say, or a central run does not reach it."""

    @property
    def whole(self) -> float | None:
        """Megabytes with images until the target, over the replicates that reach it."""
        return None if self.megabytes is None or self.images is None else self.megabytes + self.images


def reached(rows: Sequence[Row]) -> Reached | None:
    """Return it for the runs of a fill; None if none of them has a target."""
    asked = [row for row in rows if "target" in row.numbers]
    found = [row.numbers for row in asked if _at(row) is not None]
    if not asked:
        return None
    images = _mean([row.numbers.get("image_bytes") for row in asked])
    least = _mean([_least(row) for row in asked])
    return Reached(
        replicates=len(found),
        of=len(asked),
        rounds=_mean([numbers["target_round"] for numbers in found]),
        megabytes=_megabytes(_mean([numbers["target_bytes"] for numbers in found])),
        images=_megabytes(images),
        least=None if images is None or least is None else _megabytes(least + images),
    )


def _at(row: Row) -> float | None:
    """Return the bytes at which a run reached the target; None if it never did."""
    return row.numbers.get("target_bytes") if "target_round" in row.numbers else None


def _least(row: Row) -> float | None:
    """Return what a run moved until the target, or in all its rounds if it never reached it."""
    at = _at(row)
    if at is not None or row.central or not {"bytes_down", "bytes_up"} <= row.numbers.keys():
        return at
    return row.numbers["bytes_down"] + row.numbers["bytes_up"]


def _mean(values: Sequence[float | None]) -> float | None:
    """Return the mean; None if there is no value, or one is not known."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known and len(known) == len(values) else None


def _megabytes(count: float | None) -> float | None:
    return None if count is None else count / 1e6
