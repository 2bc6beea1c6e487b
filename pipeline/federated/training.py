"""Train the runs that nobody has trained yet, with progress, checkpoints and the store of finished runs."""

import time
from collections.abc import Mapping

import numpy as np

from pipeline import ledger, progress
from pipeline.artifacts.history import Round, RunHistory
from pipeline.federated import alone, workers
from pipeline.federated import runs as run_store
from pipeline.federated.algorithm import Vector
from pipeline.federated.checkpoints import Checkpoint
from pipeline.federated.inputs import Inputs
from pipeline.federated.runs import RunStore
from pipeline.federated.simulation import Run, RunState, begin, simulate
from pipeline.federated.workers import Execution, ExecutionOptions
from pipeline.workspace import Workspace


def train(
    title: str,
    runs: Mapping[str, Run],
    inputs: Inputs,
    workspace: Workspace,
    options: ExecutionOptions,
    starts: Mapping[str, Vector] | None = None,
) -> dict[str, RunState]:
    """Return the end of each run, by name; only runs that the store does not hold are trained, equal ones once.

    ``starts`` are the weights that runs start from, by ``Run.start``. An interrupted run continues from its last
    checkpoint, to the same end bit for bit. A run that diverges continues, and is reported once.
    """
    store = RunStore(workspace.runs)
    digests = {name: run_store.digest(run) for name, run in runs.items()}
    first = {digest: name for name, digest in reversed(digests.items())}
    ends = {digest: end for digest, name in first.items() if (end := store.get(runs[name])) is not None}
    todo = {name: runs[name] for digest, name in first.items() if digest not in ends}
    if ends:
        ledger.spend(runs_reused=len(ends))
        progress.say(f"{title}: {len(ends)} of {len(first)} runs were trained before and come from the store")
    for digest, end in ends.items():
        if number := first_infinite(end):
            _warn(f"{title} {first[digest]}", runs[first[digest]], end, number)
    if todo:
        ordered = {name: todo[name] for name in runs if name in todo}
        for name, end in _Training(title, ordered, inputs, workspace, options, starts or {}).carry_out().items():
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
        starts: Mapping[str, Vector],
    ) -> None:
        self._title, self._runs, self._inputs, self._options = title, runs, inputs, options
        self._spill, self._store = workspace.cache, RunStore(workspace.runs)
        self._checkpoints = {
            name: Checkpoint(workspace.checkpoints, f"{title} {name}", run, options.checkpoint_every)
            for name, run in runs.items()
        }
        self._states = {
            name: self._checkpoints[name].load() or begin(run, starts[run.start] if run.start else None)
            for name, run in runs.items()
        }
        self._rounds = {name: alone.rounds(run) if run.alone else run.rounds for name, run in runs.items()}
        self._shown = {name: len(at.rounds) for name, at in self._states.items()}
        self._unit = "clients" if any(map(_of_clients, runs.values())) else "rounds"
        self._diverged: set[str] = set()

    def carry_out(self) -> dict[str, RunState]:
        already = sum(len(at.rounds) for at in self._states.values())
        with progress.bar(self._title, sum(self._rounds.values()), self._unit, already) as advance:
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

        procedure = alone.simulate if run.alone else simulate
        end = yield from procedure(run, self._states[name], on_end)
        self._look(name, end)  # the last test comes after the last round
        self._store.keep(run, end, f"{self._title} {name}", time.monotonic() - self._start)
        ledger.spend(runs_trained=1, **_sent(run, end))
        self._checkpoints[name].forget()
        if spared := self._rounds[name] - self._shown[name]:
            self._advance(spared, f"{name}: ended after {len(end.rounds)} {self._unit}")
        return end

    def _on_round(self, name: str) -> None:
        rounds = self._states[name].rounds
        tested = [(done.number, done.accuracy) for done in rounds if done.accuracy is not None]
        note = f", {100 * tested[-1][1]:.1f} % after {tested[-1][0]}" if tested else ""
        done, self._shown[name] = len(rounds) - self._shown[name], len(rounds)
        if done:  # else only a test was left
            self._advance(done, f"{name}: {len(rounds)} {self._unit}{note}")

    def _look(self, name: str, at: RunState) -> None:
        if name not in self._diverged and (number := first_infinite(at)):
            self._diverged.add(name)
            _warn(f"{self._title} {name}", self._runs[name], at, number)


def _sent(run: Run, end: RunState) -> dict[str, int]:
    """Return the bytes that clients received and sent in a finished run; nothing is sent without a federation."""
    if run.alone or len(run.clients) == 1:
        return {}
    down, up = (sum(getattr(done, name) for done in end.rounds) for name in ("bytes_down", "bytes_up"))
    return {"bytes_down": down, "bytes_up": up}


def _of_clients(run: Run) -> bool:
    """Tell whether the rounds of a run's history are clients that train alone."""
    return run.alone and len(run.clients) > 1


def _warn(name: str, run: Run, at: RunState, number: int) -> None:
    where = f"client {at.rounds[number - 1].participants[0].client}" if _of_clients(run) else f"round {number}"
    fix = "lower train.learning_rate, or set train.clip_norm"
    progress.say(f"warning: loss or weights are not finite: {name}, {where}: {fix}")


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
