"""What runs compute, in numbers: a change of code that moves them has to raise ``runs.VERSION``.

The store of finished runs would else give back what the old code computed. The numbers are this code's own, of the
version that is named; another processor moves them by rounding, far less than the tolerance.

Version 5: local work is counted in samples, batches cross from one pass into the next, SCAFFOLD's controls are weighted
by images, central runs follow the schedule in one piece, and the last rounds are tested.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from pipeline.federated import algorithms, alone, runs, workers
from pipeline.federated.inputs import Inputs
from pipeline.federated.simulation import Client, Run, Schedule, begin, simulate

VERSION = 5
NUMBERS = {
    "fedadam": (0.62303, 1.06262),
    "fedavg": (0.47013, 1.06808),
    "fedavgm": (1.22430, 1.02187),
    "fednova": (0.47419, 1.06705),
    "fedprox": (0.47003, 1.06809),
    "fedrs": (0.47013, 1.06808),
    "moon": (0.49715, 1.06638),
    "scaffold": (0.48439, 1.06636),
}
CENTRAL = (1.14668, 0.98199)


@pytest.mark.parametrize("name", algorithms.names())
def test_a_run_computes_what_its_version_says(inputs: Inputs, run: Callable[..., Run], name: str) -> None:
    """How far the weights moved in the mean, in thousandths, and the loss, after four rounds."""
    made = replace(
        run(rounds=4, clients_per_round=2, eval_every=2),
        algorithm=algorithms.make(name, {}),
        schedule=Schedule(0.05, "cosine"),
    )
    made = replace(made, settings=replace(made.settings, augment="shift-mirror", weight_decay=0.01, clip_norm=1.0))
    end = workers.execute({"a": simulate(made, begin(made))}, made, inputs, 1, inputs.test.path.parent)["a"]
    moved = end.weights - begin(made).weights
    found = (1e3 * float(np.abs(moved).mean(dtype=np.float64)), end.rounds[-1].loss)
    assert runs.VERSION == VERSION, "write the new numbers down"
    assert found == pytest.approx(NUMBERS[name], rel=2e-3), "raise runs.VERSION, and write the new numbers down"


def test_a_central_run_computes_what_its_version_says(inputs: Inputs, run: Callable[..., Run]) -> None:
    """The same of a client that takes twelve steps in one piece, tested after each quarter."""
    made = replace(run([Client(1, 18)], rounds=4), schedule=Schedule(0.05, "cosine"), alone=True)
    end = workers.execute({"a": alone.simulate(made, begin(made))}, made, inputs, 1, inputs.test.path.parent)["a"]
    moved = 1e3 * float(np.abs(end.weights - begin(made).weights).mean(dtype=np.float64))
    assert (moved, end.rounds[-1].loss) == pytest.approx(CENTRAL, rel=2e-3), "raise runs.VERSION, too"
