"""Small cases on networks whose times are derived by hand: every client has 8 Mbit/s down, 4 up, and no way to go."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pipeline.evaluation.network.profiles import Profile
from pipeline.evaluation.network.replay import Network
from pipeline.network_params import NetworkParams
from pipeline.reporting.network.clock import Clock
from pipeline.reporting.network.hours import Case
from pipeline.reporting.network.one_off import IMAGES, OneOff
from tests.reporting.histories import run

EVEN = Profile("even", (0.5,), (8.0,), (4.0,), (0.0,))


def clock(image_seconds: float = 0.0, profile: Profile = EVEN, **options: Any) -> Clock:
    """Return the clock of equal clients; without ``sample_seconds`` they train in no time."""
    given = {"draws": 2, "sample_seconds": 0.0, "compute_spread": 0.0, **options}
    return Clock(Network(profile, NetworkParams(**given), 1), image_seconds)


def case(
    accuracies: Mapping[int, Sequence[float | None]],
    fill: str = "none",
    *,
    target: float | None = 0.5,
    algorithm: str = "fedavg",
    sent: int = 0,
) -> Case:
    """Return a case of one client, whose rounds send 1,000 bytes down and 500 up; ``sent`` bytes come first."""
    runs = {(0, seed): run(values, fill=fill, algorithm=algorithm, seed=seed) for seed, values in accuracies.items()}
    once = OneOff(IMAGES, np.array([sent]), np.array([0]))
    return Case(algorithm, "epochs", fill, runs, target, once)
