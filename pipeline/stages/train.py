"""Stage ``train``: training on what the clients hold with one fill, for every budget and seed.

Federated or central with ``run``; each client by itself with ``run_alone``.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from pipeline import fills, ledger
from pipeline.artifacts import alone, history, holdings, metrics
from pipeline.artifacts.alone import Alone
from pipeline.artifacts.holdings import Holdings
from pipeline.federated import inputs as federated
from pipeline.federated import runs as run_store
from pipeline.federated import state_file, training
from pipeline.federated.algorithm import Vector
from pipeline.federated.dropouts import Recorded
from pipeline.federated.inputs import Inputs
from pipeline.federated.models import FlatModel
from pipeline.federated.simulation import Run, RunState
from pipeline.federated.workers import ExecutionOptions
from pipeline.fills.common.given import Given
from pipeline.params import Params
from pipeline.workspace import Workspace


@ledger.accounted("train {fill} {algorithm}", lambda given: given["options"].devices, reported=True)
def run(workspace: Workspace, params: Params, fill: str, algorithm: str, options: ExecutionOptions) -> None:
    """Train every budget and seed of one fill; write histories, metrics and final weights.

    Raises ArtifactError if the holdings of the fill are missing, or those of the fill whose weights it starts from.
    """
    stage = _Stage(workspace, params, options)
    held = holdings.load(workspace.fill(fill))
    runs, ends = stage.train(held, algorithm)
    folder, histories = workspace.run(fill, algorithm), []
    for (budget, seed), made in runs.items():
        end = ends[budget, seed]
        histories.append(training.history(end, fill, algorithm, budget, seed, made.last_rounds))
        path = folder / "weights" / f"{budget}-{seed}.safetensors"
        save_weights(path, params.train.model, params.train.norm, len(held.class_names), held.image_size, end)
    history.save(folder, histories, held.class_names, stage.given.counts)
    metrics.save(workspace.metrics(fill, algorithm), histories, stage.given.counts)


@ledger.accounted("train {fill} alone", lambda given: given["options"].devices, reported=True)
def run_alone(workspace: Workspace, params: Params, fill: str, options: ExecutionOptions) -> None:
    """Train each client alone on what it holds with one fill, as long as in all rounds; write how good its model is."""
    stage = _Stage(workspace, params, options)
    _, ends = stage.train(holdings.load(workspace.fill(fill)), "fedavg", alone=True)
    counts, found = stage.given.counts, []
    for (budget, seed), end in ends.items():
        for done in end.rounds:
            for one in done.participants:
                own = history.for_clients(done.by_class or (), counts[one.client : one.client + 1])[0]
                rounded = None if np.isnan(own) else round(float(own), 6)
                found.append(Alone(fill, budget, seed, one.client, rounded, round(done.accuracy or 0.0, 6)))
    alone.save(workspace.alone(fill), found)


class _Stage:
    """Training in one workspace."""

    def __init__(self, workspace: Workspace, params: Params, options: ExecutionOptions) -> None:
        self.workspace, self.params, self.options = workspace, params, options
        self.given = Given(workspace, params)

    def train(
        self, held: Holdings, algorithm: str, alone: bool = False
    ) -> tuple[Mapping[tuple[str, int], Run], Mapping[tuple[str, int], RunState]]:
        """Return the runs of holdings, and their ends, by budget and seed; in ``alone`` ones clients train alone."""
        tests, (digests, weights) = self.given.decoded, self._starts(held)
        inputs = Inputs.of(held, fills.open_sources(held, self.given), tests.test, tests.test_rows)
        root, lost = self.params.training_seed, Recorded.of(self.workspace, self.params.train)
        made = federated.runs(held, inputs, algorithm, self.params.train, root, digests, lost)
        runs = {(budget, seed): federated.alone(one) if alone else one for budget, seed, one in made}
        named = {f"{budget}, seed {seed}": one for (budget, seed), one in runs.items()}
        title = f"train {held.fill} {'alone' if alone else algorithm}"
        if lost:
            lost.say(title, runs, held.fill, algorithm)
        ends = training.train(title, named, inputs, self.workspace, self.options, weights)
        return runs, dict(zip(runs, ends.values(), strict=True))

    def _starts(self, held: Holdings) -> tuple[dict[int, str], dict[str, Vector]]:
        """Return the digest of the run that each seed starts from, and by digest its last weights.

        It is trained now if it was not before; its own stage takes it from the store.
        """
        if held.start is None:
            return {}, {}
        runs, ends = self.train(holdings.load(self.workspace.fill(held.start)), "fedavg")
        digests = {key: run_store.digest(made) for key, made in runs.items()}
        return (
            {seed: digest for (_, seed), digest in digests.items()},
            {digests[key]: end.weights for key, end in ends.items()},
        )


def save_weights(path: Path, model: str, norm: str, classes: int, image_size: int, end: RunState) -> None:
    """Write final weights by parameter name, as safetensors."""
    flat = FlatModel(model, norm, classes, image_size)
    flat.vector.copy_(torch.from_numpy(end.weights))
    state_file.write_arrays(path, {name: tensor.numpy() for name, tensor in flat.state().items()})
