"""What the histories say: means over seeds with intervals, paired differences, bytes to reach a target."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scipy import stats

from pipeline import paths
from pipeline.artifacts.history import Round, runs
from pipeline.errors import ArtifactError

BUDGETS = ("epochs", "steps")
_BOTH = "both"
_DECIMALS = 4


@dataclass(frozen=True)
class Interval:
    """A mean and the half width of its 95 % confidence interval, None for fewer than two values."""

    mean: float
    half_width: float | None

    @classmethod
    def of(cls, values: Sequence[float]) -> "Interval":
        """Estimate from independent values, by Student's t."""
        count = len(values)
        mean = sum(values) / count
        if count < 2:
            return cls(mean, None)
        spread = math.sqrt(sum((value - mean) ** 2 for value in values) / (count - 1))
        return cls(mean, float(stats.t.ppf(0.975, count - 1)) * spread / math.sqrt(count))

    def as_dict(self) -> dict[str, float | None]:
        half = self.half_width
        return {"mean": round(self.mean, _DECIMALS), "half_width": None if half is None else round(half, _DECIMALS)}


@dataclass(frozen=True)
class Arm:
    """The runs of one fill, algorithm and budget, by seed."""

    fill: str
    runs: dict[int, list[Round]]

    def tested(self, seed: int) -> list[Round]:
        return [row for row in self.runs[seed] if row.accuracy is not None]

    def curve(self) -> list[tuple[int, float, float, float]]:
        """Return (round, mean, lowest, highest accuracy over seeds) of each tested round."""
        by_round: dict[int, list[float]] = {}
        for seed in self.runs:
            for row in self.tested(seed):
                by_round.setdefault(row.round, []).append(row.accuracy or 0.0)
        return [(number, sum(v) / len(v), min(v), max(v)) for number, v in sorted(by_round.items())]

    def finals(self) -> dict[int, float]:
        """Return each seed's accuracy after the last round."""
        return {seed: self.tested(seed)[-1].accuracy or 0.0 for seed in self.runs}

    def bests(self) -> list[float]:
        return [max(row.accuracy or 0.0 for row in self.tested(seed)) for seed in self.runs]

    def reach(self, target: float) -> tuple[list[int], list[int]]:
        """Return, of the seeds that reach ``target``, the round at which they first do and the bytes moved by then."""
        rounds, moved = [], []
        for seed, rows in self.runs.items():
            first = next((row.round for row in self.tested(seed) if (row.accuracy or 0.0) >= target), None)
            if first is not None:
                rounds.append(first)
                moved.append(sum(row.bytes_down + row.bytes_up for row in rows if row.round <= first))
        return rounds, moved

    def describe(self, target: float) -> dict[str, Any]:
        rounds, moved = self.reach(target)
        return {
            "final": Interval.of(list(self.finals().values())).as_dict(),
            "best": Interval.of(self.bests()).as_dict(),
            "final_by_seed": {str(seed): round(value, _DECIMALS) for seed, value in self.finals().items()},
            "steps_per_round": self.runs[next(iter(self.runs))][0].steps,
            "seeds_at_target": len(rounds),
            "rounds_to_target": round(sum(rounds) / len(rounds), 1) if rounds else None,
            "megabytes_to_target": round(sum(moved) / len(moved) / 1e6, 2) if rounds else None,
        }


def arms(histories: dict[str, list[Round]]) -> dict[str, dict[str, Arm]]:
    """Return the arms by budget and fill; a run that stands for both budgets appears in both."""
    found: dict[str, dict[str, Arm]] = {budget: {} for budget in BUDGETS}
    for fill, rounds in histories.items():
        for budget in BUDGETS:
            chosen = {seed: run for (b, seed), run in runs(rounds).items() if b in (budget, _BOTH)}
            found[budget][fill] = Arm(fill, chosen)
    return found


def difference(one: Arm, other: Arm) -> Interval:
    """Return how much ``one`` is above ``other`` at the end, seed by seed: the same seed means the same start."""
    a, b = one.finals(), other.finals()
    return Interval.of([a[seed] - b[seed] for seed in a if seed in b])


def summarise(
    federated: dict[str, dict[str, list[Round]]], central: dict[str, list[Round]], target: float, images: str
) -> dict[str, Any]:
    """Return all numbers of the report, JSON-ready, by algorithm, budget and fill.

    ``federated`` maps algorithm and fill to a history, ``central`` the kind of images to one; ``images`` is the digest
    of the manifest of the synthetic images.
    """
    result: dict[str, Any] = {"target_accuracy": target, "manifest": images}
    for algorithm, histories in federated.items():
        section: dict[str, Any] = {}
        for budget, by_fill in arms(histories).items():
            section[budget] = {fill: arm.describe(target) for fill, arm in by_fill.items()}
            if "synthetic" in by_fill:
                section[budget]["synthetic_minus"] = {
                    fill: difference(by_fill["synthetic"], arm).as_dict()
                    for fill, arm in by_fill.items()
                    if fill != "synthetic"
                }
        result[algorithm] = section
    result["central"] = {
        name: Interval.of(
            list(Arm(name, {seed: run for (_, seed), run in runs(rounds).items()}).finals().values())
        ).as_dict()
        for name, rounds in central.items()
    }
    return result


def load(path: Path = paths.REPORT_METRICS) -> dict[str, Any]:
    """Read the last report's numbers; raise ArtifactError if there is none."""
    try:
        numbers: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ArtifactError("no report yet", path, "run: dvc repro") from None
    except ValueError as error:
        raise ArtifactError(f"damaged ({error})", path, "run: dvc repro -f report") from None
    return numbers


def algorithms(numbers: dict[str, Any]) -> list[str]:
    """Return the algorithms that a report's numbers are about."""
    return [name for name in numbers if name not in ("central", "target_accuracy", "manifest")]


def percent(interval: dict[str, float | None], signed: bool = False) -> str:
    """Return ``83.6 ± 1.2`` for a mean and half width between 0 and 1; ``signed`` adds the plus of a difference."""
    mean, half = interval["mean"] or 0.0, interval["half_width"]
    text = f"{100 * mean:+.1f}" if signed else f"{100 * mean:.1f}"
    return text if half is None else f"{text} ± {100 * half:.1f}"


def table(numbers: dict[str, Any], algorithm: str) -> list[list[str]]:
    """Return the result table of one algorithm as rows of text, its head first."""
    by_budget = numbers[algorithm]
    rows = [["fill", "equal epochs", "equal steps"]]
    fills = [fill for fill in by_budget["epochs"] if fill != "synthetic_minus"]
    rows += [[fill, *(percent(by_budget[budget][fill]["final"]) for budget in BUDGETS)] for fill in fills]
    for fill in by_budget["epochs"].get("synthetic_minus", {}):
        differences = [by_budget[budget]["synthetic_minus"][fill] for budget in BUDGETS]
        rows.append([f"synthetic - {fill}", *(percent(d, signed=True) for d in differences)])
    return rows


def as_text(numbers: dict[str, Any]) -> str:
    """Return the result tables for a terminal."""
    lines = ["Accuracy on the test images after the last round, in percent, with 95 % intervals over seeds"]
    for algorithm in algorithms(numbers):
        rows = table(numbers, algorithm)
        widths = [max(len(row[i]) for row in rows) for i in range(3)]
        lines += ["", algorithm]
        lines += [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
        ]
    lines += ["", "central, for reference"]
    lines += [f"{name} images alone: {percent(interval)}" for name, interval in numbers["central"].items()]
    return "\n".join(lines)
