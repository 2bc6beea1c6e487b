"""What a sweep says about time on networks: hours until the target in each setting, beside no fill.

The numbers are made of the sweep's table of times, a row for each run and profile. A replicate is one (partition seed,
training seed) with its median over the network's draws; the partition is the unit. A run that never reaches the target
counts as longer than all others, so beside no fill it is asked who is sooner, by a sign test over partitions.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from markupsafe import Markup

from pipeline.reporting.charts import tiles
from pipeline.reporting.charts.markup import element
from pipeline.reporting.charts.tiles import Tile
from pipeline.reporting.network import durations, ranges
from pipeline.reporting.network.durations import HOUR
from pipeline.reporting.page import Charts, Folded, Part, Section, Shown, Text
from pipeline.reporting.skew import BEFORE
from pipeline.reporting.statistics import LEAST, SIGNIFICANT, Replicate, sign_flip
from pipeline.reporting.sweep_rows import least_seeds, partition_of
from pipeline.reporting.tables import Table
from pipeline.reporting.verdict import EQUAL_WORK, p_text

TITLE = "Time until the target on networks"
_ABOUT = (
    "The recorded rounds are replayed on each profile, images that are sent before round 1 included; no training ran "
    "again for that. Times are medians over partitions and seeds of each run's median over the network's draws; a run "
    "that never reaches the target counts as longer than all others. Sooner: in how many partitions the fill reaches "
    "it before no fill does with the same seed; p is that of the sign test over partitions, and bold with at least "
    "{least} partitions and p < .05."
)
_TILES = "time of {} over time of no fill, median over replicates; below 1 (blue) it pays"

Key = tuple[tuple[str, ...], str, str, str]
"""Values of the axes, algorithm, budget, profile."""
Hours = Mapping[Replicate, float]


@dataclass(frozen=True)
class Beside:
    """A fill beside no fill, paired by partition and seed."""

    ratio: float | None
    """Of times, median over replicates; None if it is beyond all that is known, or neither reaches the target."""
    sooner: int
    """Partitions."""
    of: int
    p: float | None
    """None with one partition."""

    @property
    def clear(self) -> bool:
        """Whether there are enough partitions, and the test says that it is not by chance."""
        return self.of >= LEAST and self.p is not None and self.p < SIGNIFICANT


def beside(mine: Hours, other: Hours) -> Beside | None:
    """Return how the times of a fill compare with those of no fill, inf for never; None without a common replicate."""
    common = sorted(mine.keys() & other.keys())
    if not common:
        return None
    signs: dict[int, list[float]] = {}
    for at in common:
        signs.setdefault(at[0], []).append(float(np.sign(_order(mine[at], other[at]))))
    means = [float(np.mean(found)) for found in signs.values()]
    decided = {at: np.array([mine[at] / other[at]]) for at in common if min(mine[at], other[at]) < math.inf}
    ratio = ranges.over(decided).median if decided else None
    p = sign_flip(means) if len(means) > 1 else None
    return Beside(ratio, sum(mean < 0 for mean in means), len(means), p)


def _order(mine: float, other: float) -> int:
    return (mine > other) - (mine < other)


def section(table: pa.Table | None, axes: Sequence[str], fill: str) -> Section:
    """Return the section; ``table`` has a row for each run and profile, None or no row if nothing was replayed."""
    lines = [] if table is None else [line for line in table.to_pylist() if line["target"] is not None]
    if not lines:
        return Section(TITLE, [Text("No run with a target was replayed on a network.")])
    arms: dict[Key, dict[str, dict[Replicate, float]]] = {}
    least = least_seeds(lines, axes)
    for line in lines:
        unit = partition_of(line, axes)
        if line["partition_seed"] != least[*unit, line["train_seed"]]:
            continue  # another seed gave this partition, which counts once; a remark says so
        at = tuple(str(line[axis]) for axis in axes)
        found = arms.setdefault((at, line["algorithm"], line["budget"], line["profile"]), {})
        hours = math.inf if line["hours"] is None else float(line["hours"])
        found.setdefault(line["fill"], {})[least[unit], line["train_seed"]] = hours
    parts: list[Part] = [Text(_ABOUT.format(least=LEAST)), *_charts(arms, fill)]
    rows = [_row(key, name, found) for key, found in arms.items() for name in found]
    head = (*axes, "algorithm", "budget", "profile", "fill", "runs that reach it", "time, median", "over no fill",
            "sooner, partitions", "p")  # fmt: skip
    return Section(TITLE, [*parts, Folded("All times", [Shown(Table("", head, tuple(rows)), len(axes) + 4)])])


def _row(key: Key, fill: str, found: Mapping[str, Hours]) -> tuple[str, ...]:
    at, algorithm, budget, profile = key
    hours = found[fill]
    middle = ranges.over({replicate: np.array([one]) for replicate, one in hours.items()}).median
    reached = f"{sum(one < math.inf for one in hours.values())} of {len(hours)}"
    time = "not reached" if middle is None else durations.text(HOUR * middle)
    gap = beside(hours, found[BEFORE]) if BEFORE in found and fill != BEFORE else None
    names = (*at, algorithm, f"equal {budget}", profile, fill, reached, time)
    if gap is None:
        return *names, "-", "-", "-"
    sooner = f"{gap.sooner} of {gap.of}"
    p = "-" if gap.p is None else p_text(gap.p).removeprefix("= ")
    return *names, _ratio(gap.ratio), element("b", sooner) if gap.clear else sooner, p


def _ratio(ratio: float | None) -> str:
    return "-" if ratio is None else durations.digits(ratio)


def _charts(arms: Mapping[Key, Mapping[str, Hours]], fill: str) -> list[Part]:
    """Return for each algorithm, at equal work if that was trained, the ratios of profiles and settings as tiles."""
    budgets = [budget for _, _, budget, _ in arms]
    chosen = EQUAL_WORK if EQUAL_WORK in budgets else budgets[0]
    drawn = []
    for algorithm in dict.fromkeys(key[1] for key in arms):
        here = {key: found for key, found in arms.items() if key[1:3] == (algorithm, chosen)}
        settings, profiles = list(dict.fromkeys(key[0] for key in here)), list(dict.fromkeys(key[3] for key in here))
        lines = [
            [_tile(here.get((at, algorithm, chosen, profile), {}), fill) for profile in profiles] for at in settings
        ]
        heads = [", ".join(at) or "the one setting" for at in settings]
        if lines:
            drawn.append(_chart(lines, heads, profiles, f"{algorithm}, equal {chosen}", fill))
    return [Charts(drawn, wide=True)] if drawn else []


def _chart(
    lines: Sequence[Sequence[Tile]], heads: Sequence[str], profiles: Sequence[str], title: str, fill: str
) -> Markup:
    return tiles.draw(lines, heads, profiles, title, unit=_TILES.format(fill), across="network")


def _tile(found: Mapping[str, Any], fill: str) -> Tile:
    gap = beside(found[fill], found[BEFORE]) if fill in found and BEFORE in found else None
    if gap is None:
        return Tile("-", 0.0, "not trained beside no fill")
    told = f"sooner in {gap.sooner} of {gap.of} partitions"
    if gap.ratio is None:
        return Tile("-", 0.0, f"not reached; {told}")
    return Tile(durations.digits(gap.ratio), max(-1.0, 1 - gap.ratio), f"{gap.ratio:.3g}; {told}")
