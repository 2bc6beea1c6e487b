"""Clients that train alone, beside the same clients in a federation."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from pipeline.artifacts.alone import Alone as Model
from pipeline.reporting import measures
from pipeline.reporting.arms import ArmRuns
from pipeline.reporting.statistics import DECIMALS
from pipeline.reporting.summary import Alone, BetterOff


def summarise(models: Sequence[Model], arms: Sequence[ArmRuns]) -> Iterator[Alone]:
    """Yield the numbers of each budget and fill, in the order of the models."""
    grouped: dict[tuple[str, str], dict[int, list[Model]]] = {}
    for model in models:
        grouped.setdefault((model.budget, model.fill), {}).setdefault(model.seed, []).append(model)
    for (budget, fill), by_seed in grouped.items():
        own = measures.mean_spread([measures.spread([one.own for one in found]) for found in by_seed.values()])
        whole = measures.mean_spread([measures.spread([one.whole for one in found]) for found in by_seed.values()])
        beside = [arm for arm in arms if (arm.budget, arm.fill) == (budget, fill)]
        better = {arm.algorithm: found for arm in beside if (found := _better_off(arm, by_seed))}
        if whole:
            yield Alone(budget, fill, len(by_seed), own.rounded() if own else None, whole.rounded(), better)


def _better_off(arm: ArmRuns, models: Mapping[int, Sequence[Model]]) -> BetterOff | None:
    """Return the shares of clients that the federation of an arm makes better off; None if no seed is common.

    A client's accuracy in the federation is the mean over the last rounds, that of its own model is of its end.
    """
    found = [
        better_off(arm.of_clients(seed), arm.measures[seed].primary, each)
        for seed, each in models.items()
        if seed in arm.runs
    ]
    own = [share for share, _ in found if share is not None]
    if not found:
        return None
    return BetterOff(
        round(float(np.mean(own)), DECIMALS) if own else None,
        round(float(np.mean([share for _, share in found])), DECIMALS),
    )


def better_off(seen: Sequence[float | None], primary: float, models: Sequence[Model]) -> tuple[float | None, float]:
    """Return the shares of clients that one run makes better off, by their own labels and by the whole test split.

    ``seen`` is the accuracy that each client sees in the federation, empty if unknown; ``primary`` the run's number;
    ``models`` are the clients' own, at least one. The first share is None if no client's accuracies are both known.
    """
    both = [(seen[one.client], one.own) for one in models if one.client < len(seen)]
    known = [together > single for together, single in both if together is not None and single is not None]
    whole = float(np.mean([primary > one.whole for one in models]))
    return float(np.mean(known)) if known else None, whole
