"""The tables of a sweep's page: differences, bytes until the target, clients, skew and images, in each setting."""

from collections.abc import Iterator, Mapping, Sequence

from pipeline.reporting.charts.markup import element
from pipeline.reporting.statistics import Difference
from pipeline.reporting.sweep_summary import Comparison, FillResult, Setting, SweepSummary
from pipeline.reporting.sweep_targets import Reached
from pipeline.reporting.tables import Table
from pipeline.reporting.verdict import named, p_text, replicates

QUALITY = "quality_"
"""What the columns of what ``evaluate`` measured begin with."""
KEYS = ("algorithm", "budget", "fill")
_SPREAD = ("mean", "deviation", "worst_tenth", "best_tenth", "worst")
_SKEW = ("hellinger", "jensen_shannon", "total_variation", "effective_classes", "missing_cells", "gini")
_DIGITS = 12  # of digests
_ROLES = {"best": "best control: ", "weakest": "weakest control: "}


def near(one: Comparison, fill: str) -> bool:
    """Tell whether a difference is of the compared fill, from no fill or from the best control."""
    return one.fill == fill and one.role in ("none", "best")


def accuracies(found: SweepSummary, axes: Sequence[str]) -> Table:
    """Return the accuracy of each fill in percent, means over replicates, with its interval."""
    rows = [
        (
            *keys,
            one.kind,
            *(estimate.percent() if estimate else "-" for estimate in (one.primary, one.last, one.averaged)),
            replicates(one.primary.partitions, one.primary.replicates),
        )
        for keys, one in _results(found, axes)
    ]
    names = ("kind", "accuracy, %", "last round", "averaged weights", "replicates")
    return Table("", (*axes, *KEYS, *names), tuple(rows))


def differences(found: SweepSummary, axes: Sequence[str], first: bool) -> Table:
    """Return the differences that are ``near``, or all others, with interval, p and replicates.

    A difference is bold only if it is clear: enough partitions, and interval and test agree.
    """
    rows = []
    for setting in found.settings:
        for one in setting.comparisons:
            if near(one, found.fill) == first:
                other = one.budget if one.budget != setting.budget else ""
                control = _ROLES.get(one.role, "") + named(one.algorithm, one.control, other)
                rows.append((*_keys(setting, axes, one.fill), control, *_difference(one.difference)))
    head = (*axes, *KEYS, "control", "difference, points", "95 % interval", "p", "replicates")
    return Table("", head, tuple(rows))


def _keys(setting: Setting, axes: Sequence[str], fill: str, central: bool = False) -> tuple[str, ...]:
    budget = "central run" if central else f"equal {setting.budget}"
    return *(setting.axes[axis] for axis in axes), setting.algorithm, budget, fill


def _difference(one: Difference) -> tuple[str, ...]:
    mean = f"{100 * one.mean:+.1f}"
    interval = "-"
    if one.low is not None and one.high is not None:
        interval = f"{100 * one.low:+.1f} to {100 * one.high:+.1f}"
    p = "-" if one.p is None else p_text(one.p).removeprefix("= ")
    return element("b", mean) if one.clear else mean, interval, p, replicates(one.partitions, one.replicates)


def targets(found: SweepSummary, axes: Sequence[str]) -> Table:
    """Return how many runs reach the target, and rounds and megabytes, means over those that do.

    Images count once, means over all runs of the fill.
    """
    rows = [
        (
            *keys,
            f"{100 * one.numbers['target']:.1f}",
            f"{one.target.replicates} of {one.target.of}",
            *_spent(one.target, one),
        )
        for keys, one in _results(found, axes)
        if one.target is not None
    ]
    names = ("target, %", "runs that reach it", "round", "MB, all clients, both ways", "MB of images", "MB in all")
    return Table("", (*axes, *KEYS, *names), tuple(rows))


def _spent(target: Reached, one: FillResult) -> tuple[str, ...]:
    """Return round and megabytes; runs that never reach the target are censored at their last round."""
    images = "-" if target.images is None else f"{target.images:,.1f}"
    last = (
        "not reached"
        if one.central
        else f"not reached by round {one.numbers['rounds']:.0f}"
        if "rounds" in one.numbers
        else "not reached"
    )
    if target.rounds is None or target.megabytes is None:
        return last, "-", images, "-"
    others = f" (others: {last})" if target.replicates < target.of else ""
    whole = "-" if target.whole is None else f"{target.whole:,.1f}"
    return f"{target.rounds:.1f}{others}", f"{target.megabytes:,.1f}", images, whole


def clients(found: SweepSummary, axes: Sequence[str]) -> Table:
    """Return the distribution of accuracy over clients in percent, each number a mean over runs."""
    rows = [
        (*keys, *(_shown(one.numbers, f"clients_{name}", 100) for name in _SPREAD))
        for keys, one in _results(found, axes)
        if "clients_mean" in one.numbers
    ]
    return Table("", (*axes, *KEYS, "mean", "deviation", "worst 10 %", "best 10 %", "worst"), tuple(rows))


def alone(found: SweepSummary, axes: Sequence[str]) -> Table:
    """Return what each client reaches alone in percent, and the share of clients that the federation makes better off.

    The distribution is of the accuracy on each client's own labels; each number is a mean over runs.
    """
    shares = ("alone_whole", "alone_better", "alone_better_whole")
    rows = [
        (*keys, *(_shown(one.numbers, name, 100) for name in (*(f"alone_clients_{name}" for name in _SPREAD), *shares)))
        for keys, one in _results(found, axes)
        if "alone_clients_mean" in one.numbers
    ]
    names = ("whole test", "better off, own labels", "better off, whole test")
    return Table("", (*axes, *KEYS, "mean", "deviation", "worst 10 %", "best 10 %", "worst", *names), tuple(rows))


def holdings(found: SweepSummary, axes: Sequence[str]) -> Table:
    """Return images and skew of what clients hold, before and with each fill, means over the partitions."""
    rows: dict[tuple[str, ...], tuple[str, ...]] = {}
    for keys, one in _results(found, axes):
        if "images_real" not in one.numbers:
            continue
        counts = (_count(one.numbers, f"images_{name}") for name in ("real", "added", "dropped"))
        skews = (_skews(one.numbers, name) for name in _SKEW)
        # Algorithms and budgets train on the same holdings.
        rows.setdefault((*keys[: len(axes)], one.fill), (*counts, *skews))
    names = (f"{name.replace('_', ' ')}, before / with" for name in _SKEW)
    return Table(
        "", (*axes, "fill", "real images", "added", "dropped", *names), tuple((*a, *b) for a, b in rows.items())
    )


def _skews(numbers: Mapping[str, float], name: str) -> str:
    """Return a number before and with the fill, and in parentheses that of IID clients who hold as many images."""
    floor = f" ({_shown(numbers, f'floor_{name}')})" if f"floor_{name}" in numbers and name != "gini" else ""
    return f"{_shown(numbers, f'real_{name}')} / {_shown(numbers, f'skew_{name}')}{floor}"


def quality(found: SweepSummary, axes: Sequence[str]) -> Table:
    """Return what was measured of the images, means over the cells of each setting; no row if nothing was."""
    rows: dict[tuple[str, ...], FillResult] = {}
    for keys, one in _results(found, axes):
        rows.setdefault(keys[: len(axes)], one)
    names = sorted({name for one in rows.values() for name in one.numbers if name.startswith(QUALITY)})
    texts = sorted({name for one in rows.values() for name in one.texts if name.startswith(QUALITY)})
    head = (*axes, *(name.removeprefix(QUALITY).replace("_", " ") for name in (*texts, *names)))
    lines = [
        (
            *keys,
            *(_counted(one.texts.get(name, {})) for name in texts),
            *(_shown(one.numbers, name, digits=3) for name in names),
        )
        for keys, one in rows.items()
    ]
    return Table("", head, tuple(lines) if names or texts else ())


def _counted(texts: Mapping[str, int]) -> str:
    """Return what a text is in how many cells; of a model, its name and the digests that its weights have."""
    named: dict[str, list[str]] = {}
    for text in texts:
        name, _, digest = text.partition(" ")
        named.setdefault(name, []).extend([digest[:_DIGITS]] if digest else [])
    parts = []
    for name, digests in named.items():
        many = f"{name} ({len(digests)} digests)" if len(digests) > 1 else " ".join([name, *digests])
        parts.append(many if digests or len(texts) == 1 else f"{name}: {texts[name]} of {sum(texts.values())}")
    return ", ".join(parts) or "-"


def _results(found: SweepSummary, axes: Sequence[str]) -> Iterator[tuple[tuple[str, ...], FillResult]]:
    for setting in found.settings:
        for one in setting.fills:
            yield _keys(setting, axes, one.fill, one.central), one


def _shown(numbers: Mapping[str, float], name: str, factor: float = 1, digits: int = 2) -> str:
    return f"{factor * numbers[name]:.{1 if factor > 1 else digits}f}" if name in numbers else "-"


def _count(numbers: Mapping[str, float], name: str) -> str:
    return f"{numbers[name]:,.0f}" if name in numbers else "-"
