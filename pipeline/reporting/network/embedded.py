"""The recorded rounds as the page's script replays them, in few characters.

Most runs repeat themselves: a client does the same work in each round, and the same clients are chosen with each fill.
So a round is two numbers: which of the lists of clients (``who``) takes part, and which of the tables of work
(``work``) says what each of them does. Rounds that repeat are counted.
"""

from collections.abc import Hashable, Sequence
from typing import Any, TypeVar

from pipeline.artifacts import history
from pipeline.artifacts.history import Participation, RunHistory
from pipeline.reporting.network.hours import Case

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
