"""What tests run in processes of their own: workers of a sweep that meet at a chosen moment."""

import multiprocessing
import time
from pathlib import Path

from pipeline.stages import deficits
from tests.jobs import until
from tests.sweeps.conftest import carried_out

FORK = multiprocessing.get_context("forkserver")
FORK.set_forkserver_preload(["pipeline.federated.preload", "pipeline.generation.diffusion", "pipeline.stages.train"])


def work(project: Path, said: Path) -> None:
    """Carry out what is open; write down the number of each cell that this process began."""
    _, told = carried_out(project)
    said.write_text("".join(f"{one.number}\n" for one in told if one.what == "begun"))


def work_together(project: Path, said: Path, here: Path, there: Path) -> None:
    """The same, but wait until another process is ready to begin too."""
    here.touch()
    until(there.exists)
    work(project, said)


def stay_in(project: Path, number: int, mark: Path) -> None:
    """Carry out the cells in order, and stay for ever in the midst of the cell with a number."""
    real = deficits.run

    def run(workspace: object, params: object) -> None:
        real(workspace, params)  # type: ignore[arg-type]
        if f"{number:04}" in str(workspace):
            mark.touch()
            while True:
                time.sleep(60)

    deficits.run = run
    carried_out(project)


def wait_for_pool(project: Path, mark: Path) -> None:
    """Hold the pool's lock for writing until the mark is gone."""
    from pipeline.generation.pool import Pool
    from pipeline.workspace import Workspace

    with Pool(Workspace(project, project.parent / "cache").pool) as pool, pool.writing():
        mark.touch()
        until(lambda: not mark.exists())
