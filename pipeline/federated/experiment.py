"""From parameters to runs: the same runs over several paired seeds, and what they leave on disk."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline import atomic, paths, progress, seeds
from pipeline.artifacts import history
from pipeline.artifacts.history import Round
from pipeline.errors import ParameterError
from pipeline.federated import algorithms, checkpoint, workers
from pipeline.federated.algorithms.fedavg import Vector
from pipeline.federated.checkpoint import Checkpoints
from pipeline.federated.local import Hyper
from pipeline.federated.models import FlatModel
from pipeline.federated.simulation import Client, Progress, Run, Schedule, begin, simulate
from pipeline.federated.workers import Data, Execution
from pipeline.params import TrainParams


@dataclass(frozen=True)
class Crew:
    """Who carries runs out, and how often they are kept; changes no bit."""

    workers: int
    checkpoint_every: int = 10


def steps_of(sizes: NDArray[np.int64], params: TrainParams) -> NDArray[np.int64]:
    """Return the local steps a round that clients with this many images take, the last batch of a pass part-full."""
    if params.local_steps is not None:
        return np.where(sizes > 0, params.local_steps, 0)
    return params.local_epochs * -(-sizes // params.batch_size)


def clients(real: NDArray[np.int64], extra: NDArray[np.int64], steps: NDArray[np.int64]) -> tuple[Client, ...]:
    """Return clients over images that lie in order of client; all arguments are (clients,)."""
    ends = zip(np.cumsum(real).tolist(), np.cumsum(extra).tolist(), strict=True)
    counts = zip(real.tolist(), extra.tolist(), steps.tolist(), strict=True)
    return tuple(
        Client(slice(r1 - r, r1), slice(e1 - e, e1), s) for (r1, e1), (r, e, s) in zip(ends, counts, strict=True)
    )


@contextmanager
def executed(
    title: str,
    arms: Mapping[str, tuple[Client, ...]],
    algorithm: str,
    data: Data,
    classes: int,
    params: TrainParams,
    seed: int,
    crew: Crew,
) -> Iterator[dict[tuple[str, int], Progress]]:
    """Carry out every arm (a name and its clients) once for each seed; yield where each ends, by arm and seed.

    A run that was interrupted goes on from its last checkpoint, to the same end bit for bit. Save the results inside
    the block: checkpoints are forgotten when it ends well, and otherwise the next call finds them. A run that diverges
    is told of once, and goes on. When each run ended, in seconds, is written beside the stages' times.
    """
    keys = {f"{title} {arm}, seed {number}": (arm, number) for arm in arms for number in params.seeds}
    runs = {
        name: run_of(arms[arm], algorithm, data, classes, params, seeds.derive(seed, "train", number))
        for name, (arm, number) in keys.items()
    }
    checkpoints = {name: Checkpoints(name, run, data, crew.checkpoint_every) for name, run in runs.items()}
    starts = {name: checkpoints[name].load() or begin(run) for name, run in runs.items()}
    already = sum(len(at.rounds) for at in starts.values())
    seconds: dict[str, float] = {}
    diverged = set[str]()

    def look(name: str, at: Progress) -> None:
        if name not in diverged and (number := first_infinite(at)):
            diverged.add(name)
            fix = "lower train.learning_rate, or set train.clip_norm"
            progress.say(f"warning: loss or weights are no finite numbers: {name}, round {number}: {fix}")

    with progress.bar(title, len(runs) * params.rounds, "rounds", already) as advance:
        start = time.monotonic()

        def carry_out(name: str) -> Execution:
            def on_end(at: Progress) -> None:
                checkpoints[name].keep(at)
                look(name, at)

            end = yield from simulate(runs[name], starts[name], on_end)
            look(name, end)  # the last test comes after the last round
            seconds[name] = round(time.monotonic() - start, 1)
            if spared := params.rounds - len(end.rounds):
                advance(spared, f"{name.removeprefix(title).strip()}: stopped after round {len(end.rounds)}")
            return end

        def on_round(name: str) -> None:
            tested = [(done.number, done.accuracy) for done in starts[name].rounds if done.accuracy is not None]
            note = f", {100 * tested[-1][1]:.1f} % after {tested[-1][0]}" if tested else ""
            advance(1, f"{name.removeprefix(title).strip()}: round {len(starts[name].rounds)}{note}")

        executions = {name: carry_out(name) for name in runs}
        ends = workers.execute(executions, next(iter(runs.values())), data, crew.workers, on_round)
    atomic.write_text(paths.ends(title), json.dumps(seconds, indent=1) + "\n")
    yield {keys[name]: end for name, end in ends.items()}
    for kept in checkpoints.values():
        kept.forget()


def first_infinite(at: Progress) -> int | None:
    """Return the first round after which loss or weights are known to be infinite or no numbers; None if none is."""
    for done in at.rounds:
        if done.loss is not None and not np.isfinite(done.loss):
            return done.number
    return None if np.isfinite(at.weights).all() else at.rounds[-1].number


def run_of(
    clients: tuple[Client, ...], algorithm: str, data: Data, classes: int, params: TrainParams, seed: int
) -> Run:
    """Return the run that parameters and images decide; raise ParameterError if its learning rate ends at nought.

    That is refused only for algorithms that divide by it. Workers compute in float32, where a smaller rate is nought.
    """
    chosen = params.clients_per_round
    if isinstance(chosen, float):
        chosen = max(1, round(chosen * len(clients)))
    made = algorithms.make(algorithm, params.options.get(algorithm, {}))
    schedule = Schedule(params.learning_rate, params.schedule, params.decay)
    if made.divides_by_rate and np.float32(schedule.rate(params.rounds, params.rounds)) == 0:
        what = f"the learning rate falls to 0 by round {params.rounds}, and {algorithm} divides by it"
        where = f"params.yaml, train.learning_rate = {params.learning_rate}, train.decay = {params.decay}"
        raise ParameterError(what, where, "raise them, or take fewer train.rounds")
    return Run(
        clients=clients,
        algorithm=made,
        model=params.model,
        norm=params.norm,
        image_size=data.test.pixels.shape[1],
        tests=tuple(np.bincount(data.test.labels, minlength=classes).tolist()),
        hyper=Hyper(params.batch_size, params.momentum, params.weight_decay, params.clip_norm, params.augment),
        schedule=schedule,
        rounds=params.rounds,
        clients_per_round=chosen,
        eval_every=params.eval_every,
        stop_at=params.stop_at,
        seed=seed,
    )


def rows(outcome: Progress, fill: str, algorithm: str, budget: str, seed: int) -> list[Round]:
    """Return an outcome as rows of a history, with tests rounded to what their digits mean."""
    return [
        Round(
            fill=fill,
            algorithm=algorithm,
            budget=budget,
            seed=seed,
            round=done.number,
            accuracy=_rounded(done.accuracy),
            loss=_rounded(done.loss),
            samples=done.samples,
            steps=done.steps,
            bytes_down=done.bytes_down,
            bytes_up=done.bytes_up,
            by_class=None if done.by_class is None else tuple(_rounded(share) for share in done.by_class),
        )
        for done in outcome.rounds
    ]


def save(folder: Path, rounds: Sequence[Round], counts: NDArray[np.int64] | None = None) -> None:
    """Write history and metrics; ``counts`` are the clients' real images by class, (clients, classes)."""
    history.save(folder / "history.csv", rounds)
    history.save_metrics(folder / "metrics.json", rounds, counts)


def save_weights(path: Path, weights: Vector, params: TrainParams, classes: int, image_size: int) -> None:
    """Write final weights by parameter name, as safetensors; raise ArtifactError if there is no room."""
    model = FlatModel(params.model, params.norm, classes, image_size)
    model.vector.copy_(torch.from_numpy(weights))
    checkpoint.write(path, {name: tensor.numpy() for name, tensor in model.state().items()})


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)
