"""Train the runs that nobody has trained yet, with progress, checkpoints and the store of finished runs."""

import time
from collections.abc import Mapping

import numpy as np

from pipeline import progress
from pipeline.artifacts.history import Round, RunHistory
from pipeline.federated import runs as run_store
from pipeline.federated import workers
from pipeline.federated.checkpoints import Checkpoint
from pipeline.federated.inputs import Inputs
from pipeline.federated.runs import RunStore
from pipeline.federated.simulation import Run, RunState, begin, simulate
from pipeline.federated.workers import Execution, ExecutionOptions
from pipeline.workspace import Workspace


def train(
    title: str, runs: Mapping[str, Run], inputs: Inputs, workspace: Workspace, options: ExecutionOptions
) -> dict[str, RunState]:
    """Return the end of each run, by name; only runs that the store does not hold are trained, equal ones once.

    An interrupted run continues from its last checkpoint, to the same end bit for bit. A run that diverges continues,
    and is reported once.
    """
    store = RunStore(workspace.runs)
    digests = {name: run_store.digest(run) for name, run in runs.items()}
    first = {digest: name for name, digest in reversed(digests.items())}
    ends = {digest: end for digest, name in first.items() if (end := store.get(runs[name])) is not None}
    todo = {name: runs[name] for digest, name in first.items() if digest not in ends}
    if ends:
        progress.say(f"{title}: {len(ends)} of {len(first)} runs were trained before and come from the store")
    for digest, end in ends.items():
        if number := first_infinite(end):
            _warn(f"{title} {first[digest]}", number)
    if todo:
        ordered = {name: todo[name] for name in runs if name in todo}
        for name, end in _Training(title, ordered, inputs, workspace, options).carry_out().items():
            ends[digests[name]] = end
    return {name: ends[digest] for name, digest in digests.items()}


class _Training:
    """Runs that are trained together."""

    def __init__(
        self,
        title: str,
        runs: Mapping[str, Run],
        inputs: Inputs,
        workspace: Workspace,
        options: ExecutionOptions,
    ) -> None:
        self._title, self._runs, self._inputs, self._options = title, runs, inputs, options
        self._spill, self._store = workspace.cache, RunStore(workspace.runs)
        self._checkpoints = {
            name: Checkpoint(workspace.checkpoints, f"{title} {name}", run, options.checkpoint_every)
            for name, run in runs.items()
        }
        self._states = {name: self._checkpoints[name].load() or begin(run) for name, run in runs.items()}
        self._shown = {name: len(at.rounds) for name, at in self._states.items()}
        self._diverged: set[str] = set()

    def carry_out(self) -> dict[str, RunState]:
        already = sum(len(at.rounds) for at in self._states.values())
        total = sum(run.rounds for run in self._runs.values())
        with progress.bar(self._title, total, "rounds", already) as advance:
            self._advance, self._start = advance, time.monotonic()
            return workers.execute(
                {name: self._execution(name) for name in self._runs},
                next(iter(self._runs.values())),
                self._inputs,
                self._options.workers,
                self._spill,
                self._on_round,
            )

    def _execution(self, name: str) -> Execution:
        """Return a run that keeps checkpoints and, at its end, its result."""
        run = self._runs[name]

        def on_end(at: RunState) -> None:
            self._checkpoints[name].keep(at)
            self._look(name, at)

        end = yield from simulate(run, self._states[name], on_end)
        self._look(name, end)  # the last test comes after the last round
        self._store.keep(run, end, f"{self._title} {name}", time.monotonic() - self._start)
        self._checkpoints[name].forget()
        if spared := run.rounds - len(end.rounds):
            self._shown[name] = run.rounds
            self._advance(spared, f"{name}: stopped after round {len(end.rounds)}")
        return end

    def _on_round(self, name: str) -> None:
        rounds = self._states[name].rounds
        tested = [(done.number, done.accuracy) for done in rounds if done.accuracy is not None]
        note = f", {100 * tested[-1][1]:.1f} % after {tested[-1][0]}" if tested else ""
        done, self._shown[name] = len(rounds) - self._shown[name], len(rounds)  # 0 when only a test was left
        self._advance(done, f"{name}: round {len(rounds)}{note}")

    def _look(self, name: str, at: RunState) -> None:
        if name not in self._diverged and (number := first_infinite(at)):
            self._diverged.add(name)
            _warn(f"{self._title} {name}", number)


def _warn(name: str, number: int) -> None:
    fix = "lower train.learning_rate, or set train.clip_norm"
    progress.say(f"warning: loss or weights are not finite: {name}, round {number}: {fix}")


def first_infinite(at: RunState) -> int | None:
    """Return the first round after which loss or weights are known to be infinite or NaN; None if none is."""
    for done in at.rounds:
        if done.loss is not None and not np.isfinite(done.loss):
            return done.number
    return None if np.isfinite(at.weights).all() else at.rounds[-1].number


def history(end: RunState, fill: str, algorithm: str, budget: str, seed: int, last_rounds: int) -> RunHistory:
    """Return a run's history, with tests rounded to what their digits mean."""
    rounds = tuple(
        Round(
            number=done.number,
            participants=done.participants,
            accuracy=_rounded(done.accuracy),
            loss=_rounded(done.loss),
            by_class=None if done.by_class is None else tuple(map(_rounded, done.by_class)),
            averaged=_rounded(done.averaged),
        )
        for done in end.rounds
    )
    return RunHistory(fill, algorithm, budget, seed, rounds, last_rounds)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)
