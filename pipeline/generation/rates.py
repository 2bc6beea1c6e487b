"""How fast images were rendered: small files beside the pool, from which the time of a rendering is estimated."""

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipeline import atomic, energy
from pipeline.errors import ArtifactError
from pipeline.generation import devices
from pipeline.generation.recipe import Recipe


@dataclass(frozen=True)
class Rate:
    """A measured rate."""

    images_per_second: float
    """Of all workers together."""
    workers: int
    kind: str
    """``cpu`` or ``cuda``."""
    hardware: str
    """What the processor or the GPUs are called."""
    images: int
    """How many images it was measured over."""
    measured: int
    """When, in seconds since 1970."""


@dataclass(frozen=True)
class Estimate:
    """The rate to expect, and the measured one that it is based on."""

    images_per_second: float
    based_on: Rate


def record(pool: Path, recipe: Recipe, workers: Sequence[str], images_per_second: float, images: int) -> None:
    """Store a rate beside the pool; it replaces that of an earlier run of equal speed on equally many such devices.

    ``workers`` has the device of each worker.
    """
    kind = devices.kind(workers[0])
    rate = Rate(images_per_second, len(workers), kind, energy.hardware(kind), images, int(time.time()))
    text = json.dumps({"of": _of(recipe), **asdict(rate)}, sort_keys=True, indent=1)
    atomic.write_text(_folder(pool) / f"{_digest(recipe)}-{kind}-{len(workers)}.json", f"{text}\n")


def estimate(pool: Path, recipe: Recipe, workers: Sequence[str] | None = None) -> Estimate | None:
    """Return the rate to expect on these devices, from runs with nearly as many like them; None without such a run.

    Where no devices are named, it is the rate that was measured last. Raises ArtifactError for a damaged record.
    """
    found = [_read(path) for path in sorted(_folder(pool).glob(f"{_digest(recipe)}-*.json"))]
    if workers is None:
        last = max(found, key=lambda rate: rate.measured, default=None)
        return None if last is None else Estimate(last.images_per_second, last)
    kind = devices.kind(workers[0])
    alike = [rate for rate in found if (rate.kind, rate.hardware) == (kind, energy.hardware(kind))]
    nearest = min(alike, key=lambda rate: abs(rate.workers - len(workers)), default=None)
    if nearest is None:
        return None
    return Estimate(nearest.images_per_second * len(workers) / nearest.workers, nearest)


def _folder(pool: Path) -> Path:
    return pool.parent / "rates"


def _of(recipe: Recipe) -> dict[str, Any]:
    """Return what of a recipe decides its speed; LoRA weights, prompts and the stored size do not."""
    names = ("model", "variant", "scheduler", "scheduler_options", "steps", "render_size", "dtype", "batch_size")
    described = recipe.as_dict()
    guided = [scale > 1 for scale in recipe.guidance]
    return {**{name: described[name] for name in names}, "compile": recipe.compile, "guided": guided}


def _digest(recipe: Recipe) -> str:
    return hashlib.sha256(json.dumps(_of(recipe), sort_keys=True).encode()).hexdigest()[:16]


def _read(path: Path) -> Rate:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        rate = Rate(**{name: value for name, value in values.items() if name != "of"})
        if not (rate.images_per_second > 0 and rate.workers > 0 and rate.measured >= 0):
            raise ValueError("not positive")
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        raise ArtifactError("damaged record of how fast images were rendered", path, "delete it") from None
    return rate
