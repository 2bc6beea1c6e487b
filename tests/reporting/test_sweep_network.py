"""Times of a sweep's runs beside no fill, derived by hand."""

import math
from typing import Any

import pyarrow as pa
import pytest

from pipeline.reporting import sweep_network
from pipeline.reporting.page import Charts, Folded, Section, Shown
from pipeline.reporting.sweep_network import beside
from tests.reporting.charts.drawn import texts, tips

NEVER = math.inf


def test_a_fill_is_compared_with_no_fill_partition_by_partition() -> None:
    """Ratios 1/2, 2/4 and 9/3: the median is 1/2; sooner in two of three partitions.

    Signs -, -, +: of 8 patterns, 8 have a sum at least as far from 0 as -1, so p is 1.
    """
    found = beside({(1, 1): 1, (2, 1): 2, (3, 1): 9}, {(1, 1): 2, (2, 1): 4, (3, 1): 3})
    assert found is not None
    assert (found.ratio, found.sooner, found.of, found.p, found.clear) == (0.5, 2, 3, 1, False)


def test_never_is_later_than_any_time_and_no_later_than_never() -> None:
    """Sooner, later, neither: 1 of 3; the ratios of the two that are decided are 0 and never, whose lower half is 0."""
    found = beside({(1, 1): 1, (2, 1): NEVER, (3, 1): NEVER}, {(1, 1): NEVER, (2, 1): 1, (3, 1): NEVER})
    assert found is not None
    assert (found.ratio, found.sooner, found.of) == (0, 1, 3)
    assert beside({(1, 1): NEVER}, {(1, 1): NEVER}).ratio is None  # type: ignore[union-attr]
    assert beside({(1, 1): 1}, {(2, 1): 1}) is None


def test_six_partitions_that_agree_are_clear() -> None:
    """2 of 64 patterns of signs are as far from 0: p = .03125. Two seeds of a partition that disagree are no sign."""
    mine, other = {(at, 1): 1.0 for at in range(6)}, {(at, 1): 2.0 for at in range(6)}
    found = beside(mine, other)
    assert found is not None
    assert found.p == pytest.approx(1 / 32)
    assert found.clear
    torn = beside({**mine, (0, 2): 3.0}, {**other, (0, 2): 2.0})
    assert torn is not None
    assert (torn.sooner, torn.clear) == (5, False)


def line(partition: int, fill: str, hours: float | None, **more: Any) -> dict[str, Any]:
    keys = {"size": "0.2 MB", "partition_seed": partition, "partition_digest": f"p{partition}", "train_seed": 1}
    run = {"fill": fill, "algorithm": "fedavg", "budget": "steps", "profile": "world", "target": 0.5, "hours": hours}
    return {**keys, **run, **more}


def test_the_section_has_a_tile_and_a_row_for_each_setting() -> None:
    """Partition 3 is partition 1 again, and counts once: ratios 1/2 and 1/4, of which the lower middle is 1/4."""
    lines = [line(1, "none", 2.0), line(1, "mine", 1.0), line(2, "none", 2.0), line(2, "mine", 0.5)]
    again = [line(3, name, hours, partition_digest="p1") for name, hours in (("none", 9.0), ("mine", None))]
    section = sweep_network.section(pa.Table.from_pylist(lines + again), ["size"], "mine")
    (chart,) = next(part for part in section.parts if isinstance(part, Charts)).charts
    assert texts(chart)[:3] == ["0.2 MB", "0.25", "world"]
    assert tips(chart) == ["0.2 MB, world: 0.25; sooner in 2 of 2 partitions"]
    rows = table(section)
    assert rows[0] == ("0.2 MB", "fedavg", "equal steps", "world", "none", "2 of 2", "2.00 h", "-", "-", "-")
    assert rows[1][4:] == ("mine", "2 of 2", "30.0 min", "0.25", "2 of 2", ".500")


def table(section: Section) -> tuple[tuple[str, ...], ...]:
    folded = next(part for part in section.parts if isinstance(part, Folded))
    return next(part for part in folded.parts if isinstance(part, Shown)).table.rows


@pytest.mark.parametrize("given", [None, pa.Table.from_pylist([line(1, "none", None, target=None)])])
def test_without_a_time_the_section_says_so(given: pa.Table | None) -> None:
    section = sweep_network.section(given, ["size"], "mine")
    assert getattr(section.parts[0], "text", "") == "No run with a target was replayed on a network."
