"""From the histories of all arms to the numbers of the report; what they cannot say is remarked."""

from collections.abc import Mapping, Sequence

import numpy as np

from pipeline import printable
from pipeline.artifacts.alone import Alone as Model
from pipeline.reporting import measures, remarks, singles, verdict
from pipeline.reporting.arms import ArmRuns, ordered
from pipeline.reporting.kinds import Fill
from pipeline.reporting.skew import BEFORE, FillSkew
from pipeline.reporting.statistics import DECIMALS, Difference, Estimate, estimate, paired
from pipeline.reporting.summary import Arm, ClassAccuracy, Comparison, Reference, Rival, Summary, Target, Verdict

_PARTITION = 0  # a report has one


def summarise(
    arms: Sequence[ArmRuns],
    references: Sequence[ArmRuns],
    *,
    target: float | None,
    fill: str,
    fills: Sequence[Fill],
    clients: int,
    class_names: Sequence[str],
    manifest: str,
    alone: Sequence[Model] = (),
    skew: Sequence[FillSkew] = (),
) -> Summary:
    """Return all numbers of the report.

    ``target`` is the accuracy whose cost is reported, None for what the arm without a fill reaches; ``fill`` the one
    that each other one is compared with; ``fills`` what is known of each; ``clients`` how many there are; ``manifest``
    the SHA-256 of the manifest of the synthetic images; ``alone`` the clients' own models; ``skew`` what was measured
    of each fill. Arms without a tested run are left out and remarked.
    """
    usable, pairs = ordered([arm for arm in arms if arm.runs]), _pairs(arms, fill)
    controls = {one.fill for one in fills if one.kind == "control"} - {fill}
    judged = [_judge(arm, [one for one in usable if one.fill in controls]) for arm in usable if arm.fill == fill]
    weights = measures.sent(run for arm in usable for run in arm.runs.values())
    return Summary(
        manifest=manifest,
        fill=fill,
        last_rounds=max((found.primary_rounds for arm in usable for found in arm.measures.values()), default=1),
        fills=tuple(fills),
        arms=tuple(_arm(arm, target_of(arm, usable, target), class_names) for arm in usable),
        comparisons=tuple(made for pair in pairs if (made := _compare(*pair))),
        verdicts=tuple(made for made in judged if made),
        references=tuple(_reference(arm, weights * clients) for arm in references if arm.runs),
        remarks=tuple(remarks.of(arms, references, fill, pairs, target)),
        alone=tuple(singles.summarise(alone, usable)),
        skew=tuple(skew),
    )


def _pairs(arms: Sequence[ArmRuns], fill: str) -> list[tuple[ArmRuns, ArmRuns]]:
    """Return each arm of a fill with each arm of another one with the same algorithm and budget."""
    usable = ordered([arm for arm in arms if arm.runs])
    mine = [arm for arm in usable if arm.fill == fill]
    others = [arm for arm in usable if arm.fill != fill]
    return [(a, b) for a in mine for b in others if (a.algorithm, a.budget) == (b.algorithm, b.budget)]


def _arm(arm: ArmRuns, target: float | None, class_names: Sequence[str]) -> Arm:
    found = arm.measures
    averaged = _averaged(arm)
    spread = arm.spread()
    shares = arm.by_class() or [None] * len(class_names)
    known = [(share, name) for share, name in zip(shares, class_names, strict=True) if share is not None]
    worst = min(known, default=None, key=lambda pair: pair[0])
    return Arm(
        algorithm=arm.algorithm,
        budget=arm.budget,
        fill=arm.fill,
        primary=_estimate(arm.primaries()),
        last=_estimate({seed: one.last for seed, one in found.items()}),
        averaged=_estimate(averaged) if averaged else None,
        by_seed=_rounded(arm.primaries()),
        samples_per_round=round(arm.samples_per_round, 1),
        steps_per_round=round(float(np.mean([one.steps_per_round for one in found.values()])), 1),
        target=None if target is None else _target(arm, target),
        clients=spread.rounded() if spread else None,
        worst_class=ClassAccuracy(printable.line(worst[1]), round(worst[0], DECIMALS)) if worst else None,
    )


def target_of(arm: ArmRuns, arms: Sequence[ArmRuns], given: float | None) -> float | None:
    """Return an arm's target: what is given, or what the arm without a fill of its algorithm and budget reaches.

    None if that arm was not trained. So a target never comes from the arm under study (as in Flick, NeurIPS 2025).
    """
    if given is not None:
        return given
    for other in arms:
        if (other.algorithm, other.budget, other.fill) == (arm.algorithm, arm.budget, BEFORE):
            return estimate(_replicates(other.primaries())).mean
    return None


def _target(arm: ArmRuns, accuracy: float) -> Target:
    reached = arm.reach(accuracy)
    found = [one for one in reached.values() if one]
    ends = [len(arm.runs[seed].rounds) for seed, one in reached.items() if one is None]
    return Target(
        accuracy=round(accuracy, DECIMALS),
        seeds=len(found),
        rounds=round(float(np.mean([one.round for one in found])), 1) if found else None,
        megabytes=round(float(np.mean([one.bytes for one in found])) / 1e6, 2) if found else None,
        censored_at=min(ends, default=None),
    )


def _compare(one: ArmRuns, other: ArmRuns) -> Comparison | None:
    """Return how much ``one`` is above ``other``, seed by seed; None if they share no seed."""
    by_seed = _differences(one.primaries(), other.primaries())
    if not by_seed:
        return None
    averaged = _differences(_averaged(one), _averaged(other))
    return Comparison(
        *(one.algorithm, one.budget, one.fill, other.fill),
        difference=_difference(by_seed),
        by_seed=_rounded(by_seed),
        averaged=_difference(averaged) if averaged else None,
    )


def _judge(arm: ArmRuns, controls: Sequence[ArmRuns]) -> Verdict | None:
    """Return the difference from the best and from the weakest control, whatever their algorithms.

    None if no control of the budget shares a seed.
    """
    rivals = []
    for other in controls:
        by_seed, budget = _differences(arm.primaries(), other.primaries()), other.budget
        if by_seed and verdict.competes(budget, other.samples_per_round, arm.budget, arm.samples_per_round):
            accuracy = round(float(np.mean([other.primaries()[seed] for seed in by_seed])), DECIMALS)
            rivals.append(Rival(other.algorithm, budget, other.fill, accuracy, _difference(by_seed)))
    ends = verdict.ends(arm.budget, rivals)
    return Verdict(arm.algorithm, arm.budget, arm.fill, *ends) if ends else None


def _reference(arm: ArmRuns, sent: int) -> Reference:
    """Return a central run, whose weights are sent to all clients once: so many bytes.

    What the algorithms' smallest download is, is the weights: nobody sends less.
    """
    return Reference(arm.fill, _estimate(arm.primaries()), _rounded(arm.primaries()), round(sent / 1e6, 2))


def _averaged(arm: ArmRuns) -> dict[int, float]:
    """Return the accuracy of averaged weights of each seed that tested it."""
    return {seed: one.averaged for seed, one in arm.measures.items() if one.averaged is not None}


def _differences(one: Mapping[int, float], other: Mapping[int, float]) -> dict[int, float]:
    return {seed: value - other[seed] for seed, value in one.items() if seed in other}


def _estimate(by_seed: Mapping[int, float]) -> Estimate:
    return estimate(_replicates(by_seed)).rounded()


def _difference(by_seed: Mapping[int, float]) -> Difference:
    return paired(_replicates(by_seed)).rounded()


def _replicates(by_seed: Mapping[int, float]) -> dict[tuple[int, int], float]:
    return {(_PARTITION, seed): value for seed, value in by_seed.items()}


def _rounded(by_seed: Mapping[int, float]) -> dict[int, float]:
    return {seed: round(value, DECIMALS) for seed, value in by_seed.items()}
