"""Usefulness: how well the project's classifier does on real images if it is trained on synthetic ones."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.artifacts.holdings import Holdings
from pipeline.artifacts.partition import Source
from pipeline.artifacts.quality import Spread, Usefulness
from pipeline.data.arrays import Stored
from pipeline.evaluation.sides import Int64, Reference, Side, shared
from pipeline.federated import inputs as federated
from pipeline.federated import training
from pipeline.federated.simulation import RunState
from pipeline.federated.workers import ExecutionOptions
from pipeline.params import Params
from pipeline.workspace import Workspace

_REAL, _SYNTHETIC = "real", "synthetic"
ARMS = ("synthetic", "real", "both")
"""What the classifier is trained on."""
NONE = Usefulness(None, None, None)


@dataclass(frozen=True)
class Accuracies:
    """Accuracy on the validation images, by what was trained on."""

    counts: Int64
    """(classes,) training images of each class and kind; 0: the class took no part."""
    by_class: dict[str, NDArray[np.float64]]
    """(seeds, classes); NaN for a class that took no part."""
    tests: Int64
    """(classes,) validation images of the classes that took part."""

    def of(self, labels: Int64) -> Usefulness:
        """Return the accuracies on the images of those of the labels that took part."""
        took = labels[self.counts[labels] > 0]
        if not self.by_class or not len(took):
            return NONE
        weights = self.tests[took] / self.tests[took].sum()
        return Usefulness(**{arm: _spread(found[:, took] @ weights) for arm, found in self.by_class.items()})


def measure(workspace: Workspace, params: Params, real: Reference, synthetic: Side) -> Accuracies:
    """Train the classifier on synthetic images, on as many real ones, and on both, for equally many steps.

    Runs are kept in the store of runs, so equal ones are trained once. A class of too few images takes no part; with
    fewer than two classes nothing is trained.
    """
    counts = shared(params.evaluate.least_images, synthetic, real.reference, real.validation)
    if (counts > 0).sum() < 2:
        return Accuracies(counts, {}, np.zeros_like(counts))
    rows = {_REAL: real.reference.take(counts), _SYNTHETIC: synthetic.take(counts)}
    tested = np.where(counts > 0, real.validation.counts, 0)
    test_rows = np.sort(real.validation.take(tested))
    sources = {_REAL: real.data.train, _SYNTHETIC: synthetic.images}
    by_class = {}
    for arm in ARMS:
        held = _holdings(params, real, sources, {name: rows[name] for name in rows if arm in (name, "both")}, counts)
        ends = _train(workspace, params, arm, held, federated.Inputs.of(held, sources, real.data.train, test_rows))
        found = [end.rounds[-1].by_class or () for end in ends]
        by_class[arm] = np.array([[np.nan if value is None else value for value in one] for one in found])
    return Accuracies(counts, by_class, tested)


def _train(workspace: Workspace, params: Params, arm: str, held: Holdings, inputs: federated.Inputs) -> list[RunState]:
    # A rate that falls to 0 ends where a constant one still jumps: accuracies of one class differ half as much. Real
    # and synthetic images count alike, whatever the federated runs do.
    alike = {"sampling": "shuffled", "real_weight": 1.0, "weights": "images"}
    update = {"seeds": params.evaluate.seeds, "schedule": "cosine", **alike}
    chosen = params.train.model_copy(update=update)
    runs = {f"seed {seed}": run for _, seed, run in federated.runs(held, inputs, "fedavg", chosen, params.seed)}
    return list(training.train(f"evaluate, trained on {arm}", runs, inputs, workspace, ExecutionOptions(1)).values())


def _holdings(
    params: Params, real: Reference, sources: dict[str, Stored], rows: dict[str, Int64], counts: Int64
) -> Holdings:
    """Return one client that has these rows, and takes all steps in one round, as a central run."""
    none, split = np.empty(0, np.int64), real.split
    return Holdings(
        fill="evaluate",
        sources={name: Source(stored.path.stem, len(stored)) for name, stored in sources.items()},
        rows={name: (np.sort(rows.get(name, none)),) for name in sources},
        samples={"steps": np.array([params.evaluate.steps * params.train.batch_size])},
        own=np.array([len(rows.get(_REAL, none))]),
        mean=split.mean,
        std=split.std,
        rounds=1,
        class_names=split.class_names,
        image_size=split.image_size,
        counts=counts[None] * len(rows),
    )


def _spread(values: NDArray[np.float64]) -> Spread:
    std = round(float(values.std(ddof=1)), 4) if len(values) > 1 else None
    return Spread(round(float(values.mean()), 4), std)
