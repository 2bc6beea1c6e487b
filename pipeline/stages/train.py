"""Stage ``train``: federated training on the clients' real images plus one fill, under two budgets of local work."""

import numpy as np
from numpy.typing import NDArray

from pipeline import paths
from pipeline.artifacts import deficits, history, manifest, partition
from pipeline.artifacts.deficits import Deficits
from pipeline.artifacts.manifest import Manifest
from pipeline.artifacts.partition import Partition
from pipeline.data import images
from pipeline.errors import ArtifactError
from pipeline.federated import arrays, experiment
from pipeline.federated.arrays import Stored
from pipeline.federated.experiment import Crew
from pipeline.federated.local import Normalisation
from pipeline.federated.simulation import Client
from pipeline.federated.workers import Data
from pipeline.params import Params, TrainParams

Int64 = NDArray[np.int64]


def run(params: Params, fill: str, algorithm: str, crew: Crew) -> None:
    """Train every budget and seed of one fill; write histories, metrics and final weights."""
    split, shards = partition.load(), manifest.load()
    train = images.load(params.data, params.data.train)
    test = images.load(params.data, params.data.test)
    split.check_source(train.fingerprint, params.data.path)
    real = arrays.real(train, split)
    extra, sizes = _fill(fill, split, shards, real, params.seed)
    data = Data(real, extra, arrays.test(test), Normalisation.of(real.pixels))
    arms = budgets(split.counts().sum(axis=1), sizes, _rows(shards, split), params.train)

    folder = paths.run(fill, algorithm)
    classes = len(split.class_names)
    title = f"train {fill} {algorithm}"
    with experiment.executed(title, arms, algorithm, data, classes, params.train, params.seed, crew) as outcomes:
        rounds = [
            row
            for (budget, seed), outcome in outcomes.items()
            for row in experiment.rows(outcome, fill, algorithm, budget, seed)
        ]
        experiment.save(folder, rounds, split.counts())
        history.save_classes(folder / "classes.csv", rounds, split.class_names)
        history.save_clients(folder / "clients.csv", rounds, split.counts())
        for (budget, seed), outcome in outcomes.items():
            path = folder / "weights" / f"{budget}-{seed}.safetensors"
            experiment.save_weights(path, outcome.weights, params.train, classes, split.image_size)


def budgets(real: Int64, extra: Int64, synthetic: Int64, params: TrainParams) -> dict[str, tuple[Client, ...]]:
    """Return the clients of each budget; all counts are images by client, (clients,).

    ``epochs``: each client passes ``local_epochs`` times over what it has. ``steps``: each client takes as many steps
    as with the synthetic fill, so that no fill wins by more work. Where both are equal, one run stands for both.
    """
    own = experiment.steps_of(real + extra, params)
    same = np.where(real + extra > 0, experiment.steps_of(real + synthetic, params), 0)
    if np.array_equal(own, same):
        return {"both": experiment.clients(real, extra, own)}
    return {"epochs": experiment.clients(real, extra, own), "steps": experiment.clients(real, extra, same)}


def _fill(fill: str, split: Partition, shards: Manifest, real: Stored, seed: int) -> tuple[Stored | None, Int64]:
    """Return the extra images in order of client, and how many each client has."""
    if fill == "none":
        return None, np.zeros(split.client_count, np.int64)
    if fill == "synthetic":
        return arrays.synthetic(shards, split.image_size), _rows(shards, split)
    from pipeline.federated import transforms  # torchvision takes two seconds to load, and only this fill needs it

    lacking: Deficits = deficits.load()
    counts = split.counts()
    possible = np.where(counts > 0, lacking.missing, 0)
    return transforms.make(real, counts, possible, seed), possible.sum(axis=1)


def _rows(shards: Manifest, split: Partition) -> Int64:
    if len(shards.shards) != split.client_count:
        what = f"{len(shards.shards)} shards for {split.client_count} clients"
        raise ArtifactError(what, paths.MANIFEST, "run: dvc repro generate")
    return np.array([shard.rows for shard in shards.shards], np.int64)
