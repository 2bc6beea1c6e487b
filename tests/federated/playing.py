"""Carry a run out in this process, interrupt it, and let it continue from its checkpoint."""

from pipeline.federated import alone
from pipeline.federated.checkpoints import Checkpoint
from pipeline.federated.inputs import Inputs
from pipeline.federated.simulation import Run, RunState, begin, simulate
from pipeline.federated.worker import Worker


class Interrupted(Exception):
    """Ends a run after some round."""


def play(run: Run, inputs: Inputs, kept: Checkpoint | None = None, until: int | None = None) -> RunState:
    """Carry a run out from where it was kept, and keep it after each round; give up after round ``until``."""
    at = (kept.load() if kept else None) or begin(run)

    def on_round(now: RunState) -> None:
        if kept:
            kept.keep(now)
        if len(now.rounds) == until:
            raise Interrupted

    execution, worker = (alone.simulate if run.alone else simulate)(run, at, on_round), Worker(inputs, run)
    try:
        tasks = next(execution)
        while True:
            tasks = execution.send([worker.carry_out(task) for task in tasks])
    except StopIteration as end:
        last: RunState = end.value
        return last
