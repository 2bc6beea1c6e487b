"""The recorded rounds and the drawn links as the page's script replays them, in few characters.

Most runs repeat themselves: a client does the same work in each round, and the same clients are chosen with each fill.
So a round is two numbers: which of the lists of clients (``who``) takes part, and which of the tables of work
(``work``) says what each of them does. Rounds that repeat are counted.
"""

import base64
from collections.abc import Hashable, Sequence
from typing import Any, TypeVar

import numpy as np

from pipeline.artifacts import history
from pipeline.artifacts.history import Participation, RunHistory
from pipeline.evaluation.network.draws import CHANNELS, uniforms
from pipeline.evaluation.network.replay import Network
from pipeline.reporting.network import timed
from pipeline.reporting.network.hours import Case
from pipeline.reporting.network.study import Study
from pipeline.reporting.skew import BEFORE

MOST_NUMBERS = 60_000
"""Of drawn numbers in a page, some 160 kB: of more draws only the first are in it."""
_ACCURACY = 10_000
Work = tuple[tuple[int, int, int, int], ...]
Key = TypeVar("Key", bound=Hashable)


def runs(cases: Sequence[Case]) -> dict[str, Any]:
    """Return the runs of all cases: ``who``, ``work`` and, for each case and seed, its rounds and tests.

    A round is [number of equal rounds, place in who, place in work]; a row of work is [client, samples, bytes to it,
    bytes from it]; a test is [round, accuracy in 1/10,000]. Accuracies are rounded, the round that reaches the target
    is not looked for again.
    """
    who, work = dict[tuple[int, ...], int](), dict[Work, int]()
    made = [[_run(run, case.target, who, work) for _, run in sorted(case.runs.items())] for case in cases]
    return {"who": list(who), "work": [list(zip(*rows, strict=True)) for rows in work], "runs": made}


def _run(run: RunHistory, target: float | None, who: dict[tuple[int, ...], int], work: dict[Work, int]) -> Any:
    repeated: list[list[int]] = []
    for clients, done in _told(run):
        entry = [_place(who, clients), _place(work, done)]
        if repeated and repeated[-1][1:] == entry:
            repeated[-1][0] += 1
        else:
            repeated.append([1, *entry])
    reached = None if target is None else history.reached(run.rounds, target)
    tests = [[one.number, round(_ACCURACY * (one.accuracy or 0.0))] for one in run.tested]
    return {"rounds": repeated, "tests": tests, "reached": reached.number if reached else 0}


def _told(run: RunHistory) -> list[tuple[tuple[int, ...], Work]]:
    """Return who takes part in each round, and a table of work that covers it and as many rounds as it can."""
    found, begun = list[tuple[tuple[int, ...], dict[int, Participation]]](), dict[int, Participation]()
    for done in run.rounds:
        here = {one.client: one for one in done.participants}
        if any(begun.get(client, one) != one for client, one in here.items()):
            begun = {}
        begun.update(here)
        found.append((tuple(here), begun))
    return [(clients, _rows(table)) for clients, table in found]


def _rows(table: dict[int, Participation]) -> Work:
    return tuple((one.client, one.samples, one.bytes_down, one.bytes_up) for _, one in sorted(table.items()))


def _place(known: dict[Key, int], value: Key) -> int:
    return known.setdefault(value, len(known))


def links(networks: Sequence[Network], clients: int, rounds: int) -> dict[str, Any] | None:
    """Return the profiles and the drawn numbers that stand for clients' links; None if they are too many for a page.

    The numbers are 16 bits each, (channel, draw, round, client) in base64; where links are not drawn again in each
    round there is one for all, else that of no round comes first. ``clients`` are all there are.
    """
    options = networks[0].options
    channels = [CHANNELS[0], CHANNELS[-1]] if options.coupling == "quantile" else list(CHANNELS)
    numbers = [None] if not options.redraw else list(range(rounds + 1))
    each = len(channels) * len(numbers) * clients
    count = min(options.draws, MOST_NUMBERS // max(each, 1))
    if not count:
        return None
    every = np.stack(
        [[uniforms(networks[0].seed, draw, clients, number) for number in numbers] for draw in range(count)]
    )  # (draw, round, channel, client)
    kept = every[:, :, [CHANNELS.index(name) for name in channels]].transpose(2, 0, 1, 3)
    same = ("coupling", "server", "round_trips", "loss_bound", "sample_seconds", "compute_spread")
    columns = ("quantiles", "down", "up", "rtt", "loss")
    return {
        **{name: getattr(options, name) for name in same},
        "profiles": {one.profile.name: {name: getattr(one.profile, name) for name in columns} for one in networks},
        "clients": clients,
        "redraw": len(numbers) - 1,
        "draws": count,
        "channels": channels,
        "uniforms": base64.b64encode(np.ascontiguousarray(kept, "<u2").tobytes()).decode(),
    }


def live(study: Study) -> dict[str, Any] | None:
    """Return all that the page's script needs; None if it is too much for a page, or drop-outs are recorded.

    ``cases`` say of each case what its target is beside the case without a fill, and how many bytes each client is
    sent first.
    """
    cases = study.cases
    if study.drop_outs or not cases or not study.networks:
        return None
    every = [run for case in cases for run in case.runs.values()]
    clients = max(
        [study.clients, *(one.client + 1 for run in every for done in run.rounds for one in done.participants)]
    )
    found = links(study.networks, clients, max(len(run.rounds) for run in every))
    if found is None:
        return None
    options = study.networks[0].options
    plain = {case.key: place for place, case in enumerate(cases) if case.fill == BEFORE}
    told = [
        {
            "without": plain.get(case.key, -1),
            "target": case.target is not None,
            "by": 0 if case.target is None else timed.censored_at(case.runs, case.target) or 0,
            "seeds": [seed for _, seed in sorted(case.runs)],
            "before": case.one_off.down.tolist() if case.one_off.clients.any() else [],
        }
        for case in cases
    ]
    sent = [one.bytes_down for run in every for done in run.rounds for one in done.participants]
    chosen = {"deadline": options.deadline, "first": None if options.first == 1.0 else options.first}
    shown = {"model": min(sent, default=0) / 1e6, "budget": options.budget_hours, **chosen}
    return {**found, **runs(cases), "cases": told, **shown}
