"""What a reader should know before using the numbers of a report: what was left out, and what weakens them."""

from collections.abc import Iterator, Sequence

from pipeline.reporting.arms import ArmRuns
from pipeline.reporting.skew import BEFORE
from pipeline.reporting.verdict import ONE_PARTITION

_GATED = "synthetic-gated"
_TRAINED = "trained"
"""The judge that the project trains itself, by the name that artifacts give it."""
Pairs = Sequence[tuple[ArmRuns, ArmRuns]]


def of(
    arms: Sequence[ArmRuns], references: Sequence[ArmRuns], fill: str, pairs: Pairs, target: float | None
) -> Iterator[str]:
    """Yield the remarks, one sentence each.

    ``pairs`` are the arms that are compared, each the one of ``fill`` and another; ``target`` as params.yaml has it.
    """
    yield from _on_comparisons(arms, fill)
    for pair in pairs:
        yield from _on_pair(*pair)
    for arm in (*arms, *references):
        yield from _on_arm(arm)
    if target is None:
        yield from _on_targets([arm for arm in arms if arm.runs])
    yield from _on_seeds([arm for arm in (*arms, *references) if arm.runs])
    if pairs:
        yield ONE_PARTITION


def on_gate(judge: str | None, fills: Sequence[str]) -> Iterator[str]:
    """Say what a gated fill owes to real images; ``judge`` is the name of the gate's judge, None without a gate."""
    if judge == _TRAINED and _GATED in fills:
        yield (
            f"the judge of {_GATED} learned from real images that no control trains on (of no client, or, where those "
            "are too few, of all clients together), so this fill's gain is not due to the generator alone"
        )


def _on_comparisons(arms: Sequence[ArmRuns], fill: str) -> Iterator[str]:
    fills = list(dict.fromkeys(arm.fill for arm in arms))
    if fill not in fills:
        yield (
            f"no differences are reported: report.fill is {fill!r}, which is not among the trained fills "
            f"({', '.join(fills)})"
        )
    elif len(fills) == 1:
        yield f"no differences are reported: {fill!r} is the only fill that was trained"


def _on_pair(one: ArmRuns, other: ArmRuns) -> Iterator[str]:
    """Say which seeds a comparison leaves out."""
    lone = sorted(set(one.runs) ^ set(other.runs))
    if lone:
        what = f"leaves out {_seeds(lone)}" if set(one.runs) & set(other.runs) else "is missing: they share no seed"
        yield f"{one.title}: the difference from {other.fill} {what}"


def _on_arm(arm: ArmRuns) -> Iterator[str]:
    if arm.untested:
        yield f"{arm.title}: {_seeds(arm.untested)} left out, since no round was tested"
    for seed, number in arm.diverged().items():
        yield f"{arm.title}: the test loss of seed {seed} is not finite (first in round {number})"
    if arm.runs and not any(found.steps_per_round for found in arm.measures.values()):
        yield f"{arm.title}: no client took a step, so the accuracy is that of the initial weights"
    yield from _on_rounds(arm)


def _on_rounds(arm: ArmRuns) -> Iterator[str]:
    """Say where runs end at different rounds, and where a mean is over fewer rounds than the run's end has."""
    ends = sorted({run.tested[-1].number for run in arm.runs.values()})
    if len(ends) > 1:
        yield (
            f"{arm.title}: runs end after {' or '.join(map(str, ends))} rounds, so later points of the curve are "
            "means over fewer seeds"
        )
    for seed, run in arm.runs.items():
        asked, tested = min(run.last_rounds, len(run.rounds)), arm.measures[seed].primary_rounds
        if tested < asked:
            yield f"{arm.title}: seed {seed} was tested in {tested} of its last {asked} rounds, its mean is over these"


def _on_targets(arms: Sequence[ArmRuns]) -> Iterator[str]:
    """Say which arms have no target, since nobody trained without a fill."""
    known = {(arm.algorithm, arm.budget) for arm in arms if arm.fill == BEFORE}
    for algorithm, budget in dict.fromkeys((arm.algorithm, arm.budget) for arm in arms):
        if (algorithm, budget) not in known:
            why = f"its target comes from the fill {BEFORE}, which was not trained"
            yield f"{algorithm}, equal {budget}: no cost is reported: {why}; or set report.target_accuracy"


def _on_seeds(arms: Sequence[ArmRuns]) -> Iterator[str]:
    single = [arm.title for arm in arms if len(arm.runs) == 1]
    if len(single) == len(arms) and arms:
        yield "one seed only: no number has an interval"
    elif single:
        yield f"one seed only, hence no interval: {'; '.join(single)}"


def _seeds(numbers: Sequence[int]) -> str:
    return f"seed{'s' * (len(numbers) > 1)} {', '.join(map(str, numbers))}"
