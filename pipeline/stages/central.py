"""Stage ``central``: the same model trained centrally, on all clients' real images and on the synthetic ones alone.

Both are references beside the federated runs: the first shows what federation costs, the second what the generator
brings without any client. A central run is a federation of one client that holds everything.
"""

from contextlib import ExitStack
from dataclasses import replace

import numpy as np

from pipeline import paths
from pipeline.artifacts import manifest, partition
from pipeline.artifacts.history import Round
from pipeline.data import images
from pipeline.federated import arrays, experiment
from pipeline.federated.experiment import Crew
from pipeline.federated.local import Normalisation
from pipeline.federated.workers import Data
from pipeline.params import Params

_TESTS = 4  # rounds that the steps are cut into, with a test after each


def run(params: Params, crew: Crew) -> None:
    """Train both references for every seed; write history and metrics."""
    split, shards = partition.load(), manifest.load()
    train = images.load(params.data, params.data.train)
    split.check_source(train.fingerprint, params.data.path)
    real = arrays.real(train, split)
    test = arrays.test(images.load(params.data, params.data.test))
    norm = Normalisation.of(real.pixels)
    steps = np.array([-(-params.train.central_steps // _TESTS)])
    central = {"rounds": _TESTS, "clients_per_round": None, "eval_every": 1, "stop_at": None}
    settings = params.train.model_copy(update=central)
    crew = replace(crew, checkpoint_every=1)
    classes = len(split.class_names)
    with ExitStack() as all_saved:  # DVC deletes both results when the stage starts again
        for name, source in (("real", real), ("synthetic", arrays.synthetic(shards, split.image_size))):
            if not len(source):
                continue
            size = np.array([len(source)])
            arms = {"steps": experiment.clients(size, np.zeros(1, np.int64), steps)}
            data, title = Data(source, None, test, norm), f"central {name}"
            runs = experiment.executed(title, arms, "fedavg", data, classes, settings, params.seed, crew)
            rounds: list[Round] = []
            for (budget, seed), outcome in all_saved.enter_context(runs).items():
                rounds += experiment.rows(outcome, name, "central", budget, seed)
            experiment.save(paths.CENTRAL / name, rounds)
