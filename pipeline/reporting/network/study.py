"""All that a report says about networks, from the histories of its arms and from what its fills send."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from pipeline.artifacts.holdings import Holdings
from pipeline.artifacts.manifest import Manifest
from pipeline.evaluation.network.replay import Network
from pipeline.network_params import NetworkParams
from pipeline.reporting.arms import ArmRuns, ordered
from pipeline.reporting.network import break_even, hours, one_off
from pipeline.reporting.network.clock import Clock, has_drop_outs
from pipeline.reporting.network.hours import Case
from pipeline.reporting.network.results import BreakEven, OnNetwork, WithinBytes
from pipeline.reporting.summarise import target_of
from pipeline.reporting.summary import Summary
from pipeline.reporting.verdict import EQUAL_WORK

_PARTITION = 0  # a report has one


@dataclass(frozen=True)
class Study:
    """The arms, the networks, and what was found."""

    cases: tuple[Case, ...]
    networks: tuple[Network, ...]
    """One for each profile."""
    clients: int
    network: tuple[OnNetwork, ...]
    within_bytes: tuple[WithinBytes, ...]
    break_even: tuple[BreakEven, ...]

    def added_to(self, summary: Summary) -> Summary:
        """Return the numbers of a report with these."""
        found = {name: getattr(self, name) for name in ("network", "within_bytes", "break_even")}
        return replace(summary, **found)

    @property
    def drop_outs(self) -> bool:
        """Whether runs have recorded drop-outs, so that other networks would need other trainings."""
        return any(has_drop_outs(run) for case in self.cases for run in case.runs.values())


def study(
    arms: Sequence[ArmRuns],
    held: Mapping[str, Holdings],
    shards: Manifest,
    networks: Sequence[Network],
    *,
    fill: str,
    controls: Sequence[str],
    target: float | None,
) -> Study:
    """Return what the runs of a report do on networks; arms without a tested run are left out.

    ``held`` are the holdings of each fill, ``fill`` is the compared one, ``controls`` are fills without synthetic
    images; ``target`` is the accuracy of params.yaml. Whether the fill pays is asked for the arm of the verdict.
    """
    cases = _cases(arms, held, shards, target)
    options = networks[0].options if networks else NetworkParams()
    clocks = [Clock(network, options.image_seconds) for network in networks]
    found = Study(
        cases=cases,
        networks=tuple(networks),
        clients=len(shards.shards),
        network=tuple(one for clock in clocks for one in hours.on_network(cases, clock, options.budget_hours)),
        within_bytes=tuple(hours.within_bytes(cases, options.budget_megabytes)),
        break_even=(),
    )
    mine = _compared(cases, fill)
    if mine is None or found.drop_outs or not mine.one_off.clients.any():
        return found
    generator = one_off.generator(held[fill], found.clients, round(1e6 * options.generator_megabytes))
    others = [case for case in cases if case.fill in controls]
    made = break_even.break_even(mine, others, [mine.one_off, generator], clocks, options.image_watts)
    return found if made is None else replace(found, break_even=(made,))


def _cases(
    arms: Sequence[ArmRuns], held: Mapping[str, Holdings], shards: Manifest, target: float | None
) -> tuple[Case, ...]:
    usable = ordered([arm for arm in arms if arm.runs])
    return tuple(
        Case(
            arm.algorithm,
            arm.budget,
            arm.fill,
            {(_PARTITION, seed): run for seed, run in arm.runs.items()},
            target_of(arm, usable, target),
            one_off.images(held[arm.fill], shards),
        )
        for arm in usable
    )


def _compared(cases: Sequence[Case], fill: str) -> Case | None:
    """Return the case of the verdict: the first algorithm at equal work, or at the first budget that there is."""
    mine = [case for case in cases if case.fill == fill]
    first = [case for case in mine if case.algorithm == mine[0].algorithm]
    return next((case for case in first if case.budget == EQUAL_WORK), first[0] if first else None)
