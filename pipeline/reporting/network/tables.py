"""The numbers of a report on networks as tables of text."""

from collections.abc import Sequence

from pipeline.reporting.network import durations
from pipeline.reporting.network.durations import HOUR
from pipeline.reporting.network.ranges import Range
from pipeline.reporting.network.results import BreakEven, OnNetwork, Pays, WithinBytes
from pipeline.reporting.tables import Table
from pipeline.reporting.verdict import named

HEAD = (
    *("algorithm, budget", "fill"),
    *("time until the target", "of it before round 1", "one round", "too late", "accuracy within"),
    "sooner than no fill",
)


def hours(found: Sequence[OnNetwork], profile: str) -> Table:
    """Return the numbers of one profile, a row for each algorithm, budget and fill."""
    rows = (_row(one) for one in found if one.profile == profile)
    return Table(profile, HEAD, tuple(rows))


def _row(one: OnNetwork) -> tuple[str, ...]:
    within = "-"
    if one.accuracy is not None and one.budget_hours is not None:
        within = f"{accuracy(one.accuracy)} in {durations.text(HOUR * one.budget_hours)}"
    sooner = "-" if one.shorter is None else f"{100 * one.shorter:.0f} %"
    return (
        *(f"{one.algorithm}, {one.budget}", one.fill),
        "no target" if one.hours is None else spread(one.hours, HOUR, one.censored_at),
        "-" if one.before_hours is None else spread(one.before_hours, HOUR),
        spread(one.round_seconds, 1.0),
        f"{100 * one.late:.1f} %",
        within,
        sooner,
    )


def spread(found: Range, size: float, censored_at: int | None = None) -> str:
    """Return a range of times, of ``size`` seconds each: ``2.10 h (1.20 h to 4.50 h)``.

    ``censored_at`` is the round by which some run has not reached what the times are until.
    """
    by = "" if censored_at is None else f" by round {censored_at}"
    if found.known == 0:
        return f"not reached{by}"
    missing = "" if found.known == 1 else f"; {100 * (1 - found.known):.0f} % not{by}"
    middle, low, high = (end_text(one, size) for one in (found.median, found.low, found.high))
    return f"{middle} ({low} to {high}{missing})"


def end_text(value: float | None, size: float) -> str:
    """Return a time, or that it never comes."""
    return "never" if value is None else durations.text(size * value)


def accuracy(found: Range) -> str:
    """Return accuracies in percent: ``61.2 (55.0 to 66.1)``."""
    if found.known == 0:
        return "not tested"
    middle, low, high = ("none" if one is None else f"{100 * one:.1f}" for one in (found.median, found.low, found.high))
    return f"{middle} ({low} to {high})"


def within_bytes(found: Sequence[WithinBytes]) -> Table:
    """Return the accuracy within the budget of bytes, a row for each algorithm, budget and fill."""
    rows = (
        (one.algorithm, one.fill, f"equal {one.budget}", f"{one.megabytes:,.1f}", accuracy(one.accuracy))
        for one in found
    )
    head = ("algorithm", "fill", "budget", "MB, all clients, both ways", "accuracy, %")
    return Table("accuracy within bytes", head, tuple(rows))


def break_even(found: Sequence[BreakEven]) -> Table:
    """Return what each way costs once and from which size of the weights on it pays, a row for each way."""
    profiles = list(dict.fromkeys(name for one in found for way in one.ways for name in way.hours_from))
    rows = [
        (
            *(one.algorithm, one.fill, f"equal {one.budget}", named(one.control_algorithm, one.control)),
            f"{_rounds(one.rounds)} / {_rounds(one.control_rounds)}",
            way.way,
            f"{way.client_megabytes:,.2f}",
            durations.text(HOUR * way.client_hours) if way.client_hours else "-",
            f"{way.client_watt_hours:,.2f}" if way.client_watt_hours else "-",
            size(way.bytes_from),
            *(size(way.hours_from.get(name)) for name in profiles),
        )
        for one in found
        for way in one.ways
    ]
    head = ("algorithm", "fill", "budget", "control", "rounds, fill / control", "what is sent once",
            "MB to a client", "drawing on a client", "Wh of a client", "fewer bytes from, MB of weights",
            *(f"sooner on {name} from, MB" for name in profiles))  # fmt: skip
    return Table("when the fill pays", head, tuple(rows))


def _rounds(value: float | None) -> str:
    return "not reached" if value is None else f"{value:g}"


def size(megabytes: float | None) -> str:
    """Return from which megabytes of weights on something pays."""
    if megabytes is None:
        return "never"
    if not megabytes:
        return "any"
    return f"{megabytes:.3g}" if megabytes < 100 else f"{megabytes:,.0f}"


def sentence(one: BreakEven, way: Pays) -> str:
    """Return in words whether one way pays for the weights of the run, and for which it would."""
    control = named(one.control_algorithm, one.control)
    weights = f"weights of {one.model_megabytes:g} MB"
    head = f"With {one.algorithm} at equal {one.budget}, the fill {one.fill} {_once(way)}."
    if way.bytes_from is None:
        return f"{head} That never pays: until the target the fill moves no fewer bytes than {control}."
    if way.hopeless:
        head += f" That never pays for {weights}: it is more than {control} moves until the target in all."
    elif way.bytes_from > one.model_megabytes:
        head += f" That does not pay for {weights}: it is more bytes than the fill saves."
    else:
        head += f" That pays in bytes for {weights}."
    rounds = f"{_rounds(one.rounds)} rounds in place of the {_rounds(one.control_rounds)} of {control}"
    answers: dict[str, list[str]] = {}
    for name, found in way.hours_from.items():
        answers.setdefault(_from(found), []).append(name)
    sooner = "; ".join(f"{', '.join(names)}: {answer}" for answer, names in answers.items())
    return f"{head} With {rounds}, it saves bytes {_from(way.bytes_from)}. It saves time on {sooner}."


def _from(megabytes: float | None) -> str:
    if megabytes is None:
        return "never"
    return f"from {size(megabytes)} MB of weights on" if megabytes else "with weights of any size"


def _once(way: Pays) -> str:
    if way.way == "images":
        return f"sends each client {way.client_megabytes:,.2f} MB of images once"
    return (
        f"could send each client the generator once, {way.client_megabytes:,.0f} MB, and the client would draw for "
        f"{durations.text(HOUR * way.client_hours)} with {way.client_watt_hours:,.1f} Wh"
    )


def share(found: Range) -> str:
    """Return a share of times: ``0.43 (0.31 to 0.88)``."""
    middle, low, high = (
        "never" if one is None else durations.digits(one) for one in (found.median, found.low, found.high)
    )
    return f"{middle} ({low} to {high}) of the control's time"
