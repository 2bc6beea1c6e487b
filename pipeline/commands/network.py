"""Commands ``network``: how long recorded rounds take, and who would drop out of them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.artifacts import dropouts, history
from pipeline.artifacts.dropouts import Dropout
from pipeline.artifacts.history import RunHistory
from pipeline.errors import ParameterError
from pipeline.evaluation.network import profiles
from pipeline.evaluation.network.profiles import Profile
from pipeline.evaluation.network.replay import Network, Replay, networks, replay
from pipeline.params import Params
from pipeline.workspace import Workspace


@dataclass(frozen=True)
class Times:
    """How long the rounds of an arm take on a profile, over its seeds and the draws of the network."""

    profile: str
    algorithm: str
    budget: str
    fill: str
    seconds: tuple[float, float, float]
    """Of a round: the 10th percentile, the median and the 90th, over rounds, seeds and draws."""
    hours: float
    """Of all rounds: median over seeds and draws."""
    dropped: float
    """Share of the participations that do not arrive, or are not waited for."""


@dataclass(frozen=True)
class Written:
    """The drop-outs that were written."""

    path: Path
    profile: str
    runs: int
    dropouts: int
    participations: int
    ended_early: int
    """Runs that ``train.stop_at`` ended: nothing is known of their later rounds."""


def every_profile() -> list[Profile]:
    """Return the profiles that come with the package."""
    return [profiles.load(name) for name in profiles.shipped()]


def times(workspace: Workspace, params: Params) -> list[Times]:
    """Return how long the recorded rounds take on each profile of ``network.profiles``.

    Raises ArtifactError if there is no history, and ParameterError if a profile cannot be used.
    """
    made = networks(params.network, params.training_seed, workspace.at(""))
    arms: dict[tuple[str, str, str], list[RunHistory]] = {}
    for run in _runs(workspace, params):
        arms.setdefault((run.algorithm, run.budget, run.fill), []).append(run)
    return [_times(network, arm, runs) for network in made for arm, runs in arms.items()]


def record(workspace: Workspace, params: Params, profile: str | None, out: Path) -> Written:
    """Write who would drop out of the recorded rounds by the deadline or the number of clients that end a round.

    The draw of the network is known by the training seed, so all fills and algorithms of a seed have the same links.
    Raises ParameterError if no round ends before its last client, or the recorded runs have drop-outs already.
    """
    chosen = params.network
    if chosen.deadline is None and chosen.first is None:
        where, fix = "params.yaml, network.deadline and network.first are null", "set one of them"
        raise ParameterError("every round waits for all of its clients", where, fix)
    named = chosen if profile is None else chosen.model_copy(update={"profiles": (profile,)})
    network = networks(named, params.training_seed, workspace.at(""))[0]
    lost, runs, participations = list[Dropout](), 0, 0
    ended_early = 0
    for run in _runs(workspace, params):
        everyone = [(done.number, one) for done in run.rounds for one in done.participants]
        if any(one.dropped for _, one in everyone):
            where = f"params.yaml, train.dropouts = {params.train.dropouts}"
            fix = "set it to null, run dvc repro train, and record then"
            raise ParameterError("the recorded runs have drop-outs already", where, fix)
        kept = replay(run, network, [run.seed]).kept[0]
        arm = run.fill, run.algorithm, run.budget
        lost += [
            Dropout(run.seed, number, one.client, *arm)
            for (number, one), there in zip(everyone, kept.tolist(), strict=True)
            if not there
        ]
        runs, participations = runs + 1, participations + len(everyone)
        ended_early += len(run.rounds) < params.train.rounds
    dropouts.save(out, lost)
    return Written(out, network.profile.name, runs, len(lost), participations, ended_early)


def _runs(workspace: Workspace, params: Params) -> Iterator[RunHistory]:
    """Yield the recorded federated runs; a central run sends nothing."""
    for fill, algorithm in params.train.pairs():
        if fill not in params.train.references:
            yield from history.load(workspace.run(fill, algorithm))


def _times(network: Network, arm: tuple[str, str, str], runs: list[RunHistory]) -> Times:
    found = [_replayed(run, network) for run in runs]
    seconds = np.concatenate([one.seconds.ravel() for one in found])
    hours = np.concatenate([one.elapsed[:, -1] for one in found]) / 3600
    kept = np.concatenate([one.kept.ravel() for one in found])
    low, middle, high = np.quantile(seconds, [0.1, 0.5, 0.9]).tolist()
    return Times(
        network.profile.name,
        *arm,
        (low, middle, high),
        float(np.median(hours)),
        1 - float(kept.mean() if len(kept) else 1),
    )


def _replayed(run: RunHistory, network: Network) -> Replay:
    """Return the times of a run: in the draw of its own drop-outs if it has any."""
    dropped = any(one.dropped for done in run.rounds for one in done.participants)
    return replay(run, network, [run.seed] if dropped else None)
