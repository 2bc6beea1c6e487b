"""From the histories of all arms to the numbers of the report; what they cannot say is remarked."""

from collections.abc import Iterator, Sequence

from pipeline import printable
from pipeline.reporting.arms import ArmRuns, ordered
from pipeline.reporting.interval import DECIMALS, Interval
from pipeline.reporting.skew import FillSkew
from pipeline.reporting.summary import Arm, ClassAccuracy, Comparison, Reference, Spread, Summary


def summarise(
    arms: Sequence[ArmRuns],
    references: Sequence[ArmRuns],
    *,
    target: float,
    fill: str,
    class_names: Sequence[str],
    manifest: str,
    skew: Sequence[FillSkew] = (),
) -> Summary:
    """Return all numbers of the report.

    ``fill`` is the fill that each other one is compared with, ``target`` the accuracy whose cost is reported,
    ``manifest`` the SHA-256 of the manifest of the synthetic images, ``skew`` what was measured of each fill. Arms
    without a tested run are left out and remarked.
    """
    usable = ordered([arm for arm in arms if arm.runs])
    pairs = [
        (one, other)
        for one in usable
        for other in usable
        if one.fill == fill != other.fill and (one.algorithm, one.budget) == (other.algorithm, other.budget)
    ]
    compared = [_compare(one, other) for one, other in pairs]
    central = [arm for arm in references if arm.runs]
    return Summary(
        target_accuracy=target,
        manifest=manifest,
        fill=fill,
        arms=tuple(_arm(arm, target, class_names) for arm in usable),
        comparisons=tuple(comparison for comparison in compared if comparison),
        references=tuple(Reference(arm.fill, _interval(arm.finals()), _rounded(arm.finals())) for arm in central),
        remarks=(
            *_on_comparisons(arms, fill),
            *(remark for pair in pairs for remark in _on_pair(*pair)),
            *(remark for arm in (*arms, *references) for remark in _on_arm(arm)),
            *_on_seeds([*usable, *central]),
        ),
        skew=tuple(skew),
    )


def _arm(arm: ArmRuns, target: float, class_names: Sequence[str]) -> Arm:
    rounds, moved = arm.reach(target)
    spread = arm.spread()
    shares = arm.by_class() or [None] * len(class_names)
    known = [(share, name) for share, name in zip(shares, class_names, strict=True) if share is not None]
    worst = min(known, default=None, key=lambda pair: pair[0])
    return Arm(
        algorithm=arm.algorithm,
        budget=arm.budget,
        fill=arm.fill,
        final=_interval(arm.finals()),
        best=Interval.of(arm.bests()).rounded(),
        final_by_seed=_rounded(arm.finals()),
        steps_per_round=round(arm.steps_per_round(), 1),
        seeds_at_target=len(rounds),
        rounds_to_target=round(sum(rounds) / len(rounds), 1) if rounds else None,
        megabytes_to_target=round(sum(moved) / len(moved) / 1e6, 2) if rounds else None,
        clients=Spread(*(round(share, DECIMALS) for share in spread)) if spread else None,
        worst_class=ClassAccuracy(printable.line(worst[1]), round(worst[0], DECIMALS)) if worst else None,
    )


def _compare(one: ArmRuns, other: ArmRuns) -> Comparison | None:
    """Return how much ``one`` is above ``other`` at the end, seed by seed; None if they share no seed."""
    a, b = one.finals(), other.finals()
    by_seed = {seed: a[seed] - b[seed] for seed in a if seed in b}
    if not by_seed:
        return None
    return Comparison(one.algorithm, one.budget, one.fill, other.fill, _interval(by_seed), _rounded(by_seed))


def _interval(by_seed: dict[int, float]) -> Interval:
    return Interval.of(list(by_seed.values())).rounded()


def _rounded(by_seed: dict[int, float]) -> dict[int, float]:
    return {seed: round(value, DECIMALS) for seed, value in by_seed.items()}


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
    if arm.runs and not arm.steps_per_round():
        yield f"{arm.title}: no client took a step, so the accuracy is that of the initial weights"
    ends = sorted({done.number for done in arm.last().values()})
    if len(ends) > 1:
        yield (
            f"{arm.title}: runs end after {' or '.join(map(str, ends))} rounds, so later points of the curve are "
            "means over fewer seeds"
        )


def _on_seeds(arms: Sequence[ArmRuns]) -> Iterator[str]:
    single = [arm.title for arm in arms if len(arm.runs) == 1]
    if len(single) == len(arms) and arms:
        yield "one seed only: no number has an interval"
    elif single:
        yield f"one seed only, hence no interval: {'; '.join(single)}"


def _seeds(numbers: Sequence[int]) -> str:
    return f"seed{'s' * (len(numbers) > 1)} {', '.join(map(str, numbers))}"
