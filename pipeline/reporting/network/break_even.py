"""When a fill pays: what it costs once, against the rounds that it saves until the target, by model size and profile.

Rounds are those that were recorded, whatever the size of the weights that are asked about: only what a round sends is
scaled. A larger model may need other rounds, which only a training tells. A control that never reaches the target
counts with all its rounds, so that what the fill saves is the least that it can be.
"""

from collections.abc import Sequence

import numpy as np

from pipeline.artifacts import history
from pipeline.artifacts.history import RunHistory
from pipeline.reporting import measures
from pipeline.reporting.network import by_size, ranges
from pipeline.reporting.network.by_size import BySize, Share
from pipeline.reporting.network.clock import Clock
from pipeline.reporting.network.durations import HOUR
from pipeline.reporting.network.hours import Case
from pipeline.reporting.network.one_off import OneOff
from pipeline.reporting.network.results import BreakEven, Pays


def break_even(
    fill: Case, controls: Sequence[Case], ways: Sequence[OneOff], clocks: Sequence[Clock], watts: float
) -> BreakEven | None:
    """Return when a fill pays beside the control of its budget that reaches the fill's target first.

    ``controls`` may be of any algorithm, ``ways`` are those to bring the images to the clients, ``watts`` what a device
    takes that draws. None without a target, a control that shares a seed, a profile, or a byte that is sent.
    """
    sent = [one.bytes_down for run in fill.runs.values() for done in run.rounds for one in done.participants]
    rivals = [one for one in controls if one.budget == fill.budget and one.runs.keys() & fill.runs.keys()]
    if fill.target is None or not rivals or not sent or not clocks:
        return None
    target, own = fill.target, round(min(sent) / 1e6, 3)
    control = min(rivals, key=lambda one: (_sortable(_rounds(one, target)), one.algorithm != fill.algorithm))
    times = [BySize(clock, own) for clock in clocks]
    return BreakEven(
        algorithm=fill.algorithm,
        budget=fill.budget,
        fill=fill.fill,
        control=control.fill,
        control_algorithm=control.algorithm,
        target=round(target, 4),
        rounds=_rounds(fill, target),
        control_rounds=_rounds(control, target),
        model_megabytes=own,
        ways=tuple(_way(fill, control, target, way, times, watts) for way in ways),
    )


def _rounds(case: Case, target: float) -> float | None:
    """Return the median over seeds of the rounds until a target; None if half of them do not reach it."""
    reached = {at: history.reached(run.rounds, target) for at, run in case.runs.items()}
    return ranges.over({at: np.array([one.number if one else np.inf]) for at, one in reached.items()}).median


def _sortable(rounds: float | None) -> float:
    return np.inf if rounds is None else rounds


def _way(fill: Case, control: Case, target: float, way: OneOff, times: Sequence[BySize], watts: float) -> Pays:
    common = sorted(fill.runs.keys() & control.runs.keys())
    mine, theirs = ({at: case.runs[at] for at in common} for case in (fill, control))
    least = {at: _moved(run, target, at_most=True) for at, run in theirs.items()}
    saved = {at: least[at] - _moved(run, target, at_most=False) for at, run in mine.items()}
    gain, moved = (ranges.over({at: np.array([one]) for at, one in each.items()}).median for each in (saved, least))
    once, own = float(way.down.sum()), times[0].own
    shares = {one.clock.profile: Share(mine, theirs, target, one, one.clock.before(way)) for one in times}
    drawing = times[0].clock.drawing_seconds(way) / HOUR
    return Pays(
        way=way.way,
        client_megabytes=round(once / max(int(way.clients.sum()), 1) / 1e6, 3),
        client_hours=float(f"{drawing:.6g}"),
        client_watt_hours=float(f"{watts * drawing:.6g}"),
        hopeless=once >= (moved or 0.0),
        bytes_from=None if gain is None or gain <= 0 else float(f"{own * once / gain:.2g}"),
        hours_from={name: one.pays_from() for name, one in shares.items()},
        hours={name: {f"{size:g}": one.at(size) for size in by_size.sizes(own)} for name, one in shares.items()},
    )


def _moved(run: RunHistory, target: float, at_most: bool) -> float:
    """Return the bytes until a target; of a run that never reaches it all that it moved, or infinitely many."""
    reached = history.reached(run.rounds, target)
    if reached is None and not at_most:
        return np.inf
    return float(measures.moved(run, reached.number if reached else len(run.rounds)))
