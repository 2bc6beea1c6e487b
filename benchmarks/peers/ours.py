"""The work in this project's simulator: ``ours.py WORKERS FOLDER MODEL EPOCHS ROUNDS WARM THREADS RESULT``.

WORKERS is a number, or ``kernels`` for one worker whose time inside forward, backward and optimiser is taken.
"""

import json
import sys
import time
from collections.abc import Callable, Generator
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

SEED, CLASSES, SIZE = 1, 10, 32


def resolved(folder: Path, model: str, epochs: int, rounds: int) -> tuple[Any, Any]:
    """Return our run and its inputs."""
    from pipeline import seeds
    from pipeline.data import arrays
    from pipeline.federated import inputs
    from pipeline.federated.inputs import Inputs
    from pipeline.federated.local import Normalisation
    from pipeline.federated.simulation import Client
    from pipeline.fills.common.budgets import samples_of
    from pipeline.fills.common.given import stretches
    from pipeline.params import TrainParams

    with np.load(folder / "work.npz") as files:
        real, test = (
            arrays.store(
                folder / "arrays", f"{name}images", files[f"{name}labels"], SIZE,
                lambda name=name: iter([files[f"{name}images"]]),
            )
            for name in ("", "test_")
        )  # fmt: skip
        normalisation = Normalisation(tuple(files["mean"].tolist()), tuple(files["std"].tolist()))
        sizes = files["sizes"]
    params = TrainParams(
        fills=("none",), algorithms=("fedavg",), options={"fedavg": {}}, seeds=(SEED,), model=model, rounds=rounds,
        clients_per_round=10, local_epochs=epochs, central_steps=1, batch_size=32, learning_rate=0.01, momentum=0.9,
        last_rounds=1,
    )  # fmt: skip
    held = Inputs((real,), ("real",), tuple((rows,) for rows in stretches(sizes)), test, normalisation, CLASSES)
    clients = tuple(map(Client, sizes.tolist(), samples_of(sizes, params).tolist()))
    return inputs.run(clients, held.digest, held, "fedavg", params, seeds.derive(SEED, "train", SEED)), held


def ours(
    how: str, folder: Path, model: str, epochs: int, rounds: int, warm: int
) -> tuple[dict[str, Any], NDArray[np.float32]]:
    """Carry out our run; return what was measured, and the last weights in the order of torch's parameters.

    The clock starts when the test of the last round of the warm-up is in.
    """
    import torch

    from pipeline.federated import workers
    from pipeline.federated.models import FlatModel
    from pipeline.federated.simulation import begin, simulate

    run, held = resolved(folder, model, epochs, rounds)
    inside = Stopwatch()
    if how == "kernels":
        inside.watch_kernels()
    stamps: list[float] = []

    def both() -> Generator[Any, Any, Any]:
        at = yield from simulate(replace(run, rounds=warm), begin(run))
        stamps.append(time.perf_counter())
        inside.seconds.clear()
        at = yield from simulate(run, at)
        stamps.append(time.perf_counter())
        return at

    ended = workers.execute({"": both()}, run, held, 1 if how == "kernels" else int(how), folder)[""]
    spent = stamps[1] - stamps[0]
    shares = {name: seconds / spent for name, seconds in inside.seconds.items()}
    accuracies = [done.accuracy for done in ended.rounds]
    network = FlatModel(model, "group", CLASSES, SIZE)
    network.vector.copy_(torch.from_numpy(ended.weights))
    weights = torch.cat([tensor.reshape(-1) for tensor in network.state().values()]).numpy()
    return {"seconds": spent / (rounds - warm), "accuracies": accuracies, "shares": shares}, weights


class Stopwatch:
    """Adds up the time inside calls, by name; a call inside another counts as the outer one's."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._inside = False

    def watch_kernels(self) -> None:
        import torch

        from pipeline.federated import models
        from pipeline.federated.algorithms.fedavg import FedAvg

        for owner, method, name in (
            (FedAvg, "loss", "forward and loss"),
            (torch.Tensor, "backward", "backward"),
            (torch.optim.SGD, "step", "optimiser"),
            (models.SimpleCNN, "forward", "forward of tests"),
            (models.ResNet, "forward", "forward of tests"),
        ):
            setattr(owner, method, self._timed(getattr(owner, method), name))

    def _timed(self, call: Callable[..., Any], name: str) -> Callable[..., Any]:
        @wraps(call)
        def timed(*args: Any, **kwargs: Any) -> Any:
            if self._inside:
                return call(*args, **kwargs)
            self._inside, start = True, time.perf_counter()
            try:
                return call(*args, **kwargs)
            finally:
                self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start
                self._inside = False

        return timed


if __name__ == "__main__":
    how, folder, model, epochs, rounds, warm, _, result = sys.argv[1:]
    found, weights = ours(how, Path(folder), model, int(epochs), int(rounds), int(warm))
    np.save(Path(result).with_suffix(".npy"), weights)
    Path(result).write_text(json.dumps(found))
