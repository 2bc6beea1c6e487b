"""The accuracy curves of all arms as one table in long format, which ``dvc plots`` draws."""

import csv
from collections.abc import Sequence
from pathlib import Path

from pipeline import atomic
from pipeline.reporting.arms import ArmRuns
from pipeline.reporting.statistics import DECIMALS

COLUMNS = ("algorithm", "budget", "fill", "round", "accuracy", "lowest", "highest", "seeds", "megabytes")


def save(path: Path, arms: Sequence[ArmRuns]) -> None:
    """Write a row for each arm and tested round: the mean accuracy over its seeds, the lowest, the highest, the count.

    ``megabytes`` are moved until the end of the round, all clients, both ways, mean over these seeds.

    A new fill or algorithm adds rows, not columns, so neither dvc.yaml nor the template of the plot lists any.
    """
    with atomic.replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for arm in arms:
            for (number, values), (_, moved) in zip(arm.curve(), arm.moved(), strict=True):
                shares = (sum(values) / len(values), min(values), max(values))
                rounded = (round(share, DECIMALS) for share in shares)
                writer.writerow(
                    [arm.algorithm, arm.budget, arm.fill, number, *rounded, len(values), round(moved / 1e6, 6)]
                )
