"""Stage ``train``: federated training on what the clients hold with one fill, for every budget and seed."""

from pathlib import Path

import torch

from pipeline import fills
from pipeline.artifacts import history, holdings, metrics
from pipeline.federated import inputs as federated
from pipeline.federated import state_file, training
from pipeline.federated.models import FlatModel
from pipeline.federated.simulation import RunState
from pipeline.federated.workers import ExecutionOptions
from pipeline.fills.common.given import Given
from pipeline.params import Params
from pipeline.workspace import Workspace


def run(workspace: Workspace, params: Params, fill: str, algorithm: str, options: ExecutionOptions) -> None:
    """Train every budget and seed of one fill; write histories, metrics and final weights."""
    held, given = holdings.load(workspace.fill(fill)), Given(workspace, params)
    tests = given.decoded
    inputs = federated.Inputs.of(held, fills.open_sources(held, given), tests.test, tests.test_rows)
    runs = {
        (budget, seed): run for budget, seed, run in federated.runs(held, inputs, algorithm, params.train, params.seed)
    }
    named = {f"{budget}, seed {seed}": run for (budget, seed), run in runs.items()}
    ends = training.train(f"train {fill} {algorithm}", named, inputs, workspace, options)

    folder = workspace.run(fill, algorithm)
    histories = []
    for (budget, seed), end in zip(runs, ends.values(), strict=True):
        histories.append(training.history(end, fill, algorithm, budget, seed))
        path = folder / "weights" / f"{budget}-{seed}.safetensors"
        save_weights(path, params.train.model, params.train.norm, inputs.classes, held.image_size, end)
    history.save(folder, histories, held.class_names, given.counts)
    metrics.save(workspace.metrics(fill, algorithm), histories, given.counts)


def save_weights(path: Path, model: str, norm: str, classes: int, image_size: int, end: RunState) -> None:
    """Write final weights by parameter name, as safetensors."""
    flat = FlatModel(model, norm, classes, image_size)
    flat.vector.copy_(torch.from_numpy(end.weights))
    state_file.write_arrays(path, {name: tensor.numpy() for name, tensor in flat.state().items()})
