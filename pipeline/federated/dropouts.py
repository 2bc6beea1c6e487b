"""Which recorded drop-outs change a run."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pipeline import progress
from pipeline.artifacts import dropouts
from pipeline.artifacts.dropouts import Dropout
from pipeline.errors import ParameterError
from pipeline.federated.simulation import Run, choose
from pipeline.params import TrainParams
from pipeline.workspace import Workspace


@dataclass(frozen=True)
class Recorded:
    """The drop-outs of a file."""

    path: Path
    dropouts: Sequence[Dropout]

    @classmethod
    def of(cls, workspace: Workspace, params: TrainParams) -> "Recorded | None":
        """Return those of ``train.dropouts``, or None if that is null; raise ArtifactError if they cannot be read."""
        if params.dropouts is None:
            return None
        path = workspace.at(params.dropouts)
        return cls(path, dropouts.load(path))

    def put_into(self, run: Run, fill: str, algorithm: str, budget: str, seed: int) -> Run:
        """Return a run with the drop-outs that change it; a client that does not take part cannot drop out.

        So the identity of a run without any is as if there were no file. A central run has none. Raises ParameterError
        for a client that there is not.
        """
        if run.alone:
            return run
        named = _named(self.dropouts, fill, algorithm, budget, seed)
        if (last := max((client for _, client in named), default=0)) >= len(run.clients):
            what = f"names client {last}, but there are clients 0 to {len(run.clients) - 1}"
            raise ParameterError(what, self.path, "record the drop-outs again: gen-fedsd network dropouts")
        by_round = defaultdict[int, set[int]](set)
        for number, client in named:
            by_round[number].add(client)
        found = [
            (number, client)
            for number in sorted(by_round)
            if number <= run.rounds
            for client in choose(run, number)
            if client in by_round[number]
        ]
        return replace(run, dropouts=tuple(found))

    def say(self, title: str, runs: Mapping[tuple[str, int], Run], fill: str, algorithm: str) -> None:
        """Say how many updates do not arrive, which lines change nothing, and which runs are without any."""
        federated = {key: run for key, run in runs.items() if not run.alone}
        if not federated:
            return
        named = sum(len(_named(self.dropouts, fill, algorithm, *key)) for key in federated)
        used = sum(len(run.dropouts) for run in federated.values())
        bare = [f"{budget}, seed {seed}" for (budget, seed), run in federated.items() if not run.dropouts]
        told = f"{title}: {used} updates do not arrive in {len(federated) - len(bare)} of {len(federated)} runs"
        unused = f"; {named - used} drop-outs are of clients that do not take part" if named > used else ""
        progress.say(f"{told} ({self.path}){unused}" + (f"; none in: {'; '.join(bare)}" if bare else ""))


def _named(recorded: Iterable[Dropout], fill: str, algorithm: str, budget: str, seed: int) -> set[tuple[int, int]]:
    return {(one.round, one.client) for one in recorded if one.concerns(fill, algorithm, budget, seed)}
