"""Several processes on one sweep, and processes that are killed: no cell is done twice, none is lost."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pipeline.sweeps import runner
from pipeline.sweeps.runner import Plan
from tests.conftest import ROOT
from tests.jobs import PATIENCE, until
from tests.sweeps import processes
from tests.sweeps.conftest import carried_out, planned, write_sweep


@pytest.fixture
def small(project: Path, sweep: dict[str, Any]) -> Path:
    """A project with a sweep of four cells."""
    write_sweep(project, sweep)
    return project


def table(plan: Plan) -> dict[str, list[Any]]:
    """Return the results but for the folder's name; equal runs give equal rows."""
    found: dict[str, list[Any]] = pq.read_table(plan.folder.results).to_pydict()
    return found


def undisturbed(project: Path, sweep: dict[str, Any], elsewhere: Path) -> dict[str, list[Any]]:
    """Return the results of one process in a cache of its own."""
    other = elsewhere / "project"
    other.mkdir(parents=True)
    (other / "params.yaml").write_bytes((project / "params.yaml").read_bytes())
    write_sweep(other, sweep)
    return table(carried_out(other)[0])


def test_two_processes_share_the_cells_and_the_pool(small: Path, sweep: dict[str, Any], tmp_path: Path) -> None:
    """They begin at the same moment with an empty pool; each cell is begun once, by one of them."""
    marks, said = [tmp_path / "a", tmp_path / "b"], [tmp_path / "said a", tmp_path / "said b"]
    started = [
        processes.FORK.Process(target=processes.work_together, args=(small, told, here, there))
        for told, here, there in zip(said, marks, reversed(marks), strict=True)
    ]
    for one in started:
        one.start()
    for one in started:
        one.join(PATIENCE)
        assert one.exitcode == 0
    begun = [told.read_text().split() for told in said]
    assert sorted([*begun[0], *begun[1]]) == ["1", "2", "3", "4"]
    assert begun[0]
    assert begun[1]
    assert planned(small).counts()["done"] == 4
    assert table(planned(small)) == undisturbed(small, sweep, tmp_path / "undisturbed")


def test_a_cell_waits_for_the_pool_and_says_so(small: Path, tmp_path: Path) -> None:
    mark = tmp_path / "holding"
    holder = processes.FORK.Process(target=processes.wait_for_pool, args=(small, mark))
    holder.start()
    until(mark.exists)
    worker = processes.FORK.Process(target=processes.work, args=(small, tmp_path / "said"))
    worker.start()
    log = planned(small).folder.place(1).log
    until(lambda: log.is_file() and "waiting for another run that is writing the pool" in log.read_text())
    plan = planned(small)
    assert plan.counts() == {"done": 0, "failed": 0, "running": 1, "open": 3}
    mark.unlink()
    for one in (holder, worker):
        one.join(PATIENCE)
        assert one.exitcode == 0
    assert planned(small).counts()["done"] == 4


def test_a_cell_whose_process_is_killed_is_open_again(small: Path, sweep: dict[str, Any], tmp_path: Path) -> None:
    """Cells are carried out in the order 1, 3, 2, 4; the process is killed in cell 3."""
    mark = tmp_path / "there"
    process = processes.FORK.Process(target=processes.stay_in, args=(small, 3, mark))
    process.start()
    until(mark.exists)
    plan = planned(small)
    assert [plan.state(cell) for cell in plan.cells] == ["done", "open", "running", "open"]
    assert set(table(plan)["cell"]) == {1}
    process.kill()
    process.join(PATIENCE)
    assert [plan.state(cell) for cell in plan.cells] == ["done", "open", "open", "open"]
    plan, told = carried_out(small)
    assert [one.number for one in told if one.what == "begun"] == [3, 2, 4]
    assert table(plan) == undisturbed(small, sweep, tmp_path / "undisturbed")


def test_looking_at_a_cell_keeps_no_process_from_it(small: Path) -> None:
    """Many look at its state all the time while it is taken again and again."""
    plan = planned(small)
    with plan.folder.locked():
        plan.numbers = plan.folder.enrol(plan.cells)
    place = plan.place(plan.cells[0])
    lines = ("from pathlib import Path", "from pipeline.sweeps import folder")
    program = "\n".join([*lines, f"while True: folder._held(Path({str(place.folder / 'lock')!r}))"])
    with place.taken():
        looking = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT)
    try:
        for _ in range(300):
            with place.taken() as held:
                assert held
    finally:
        looking.kill()
        looking.wait()


@pytest.mark.parametrize(("how", "code"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 130)])
def test_helpers_end_with_the_process_that_started_them(
    small: Path, tmp_path: Path, how: signal.Signals, code: int
) -> None:
    """Two jobs; the first one waits for the pool, and is killed, or interrupted as a terminal does it."""
    mark = tmp_path / "holding"
    holder = processes.FORK.Process(target=processes.wait_for_pool, args=(small, mark))
    holder.start()
    until(mark.exists)
    command = [sys.executable, "-m", "pipeline", "sweep", "run", "labels", "--jobs", "2", "--devices", "cpu"]
    with (tmp_path / "said").open("w") as said:
        process = subprocess.Popen(command, cwd=small, stderr=said, stdout=said, start_new_session=True)
    until(lambda: planned(small).counts()["running"] == 2)
    os.killpg(process.pid, how) if how == signal.SIGINT else process.kill()
    assert process.wait(PATIENCE) == code
    until(lambda: planned(small).counts()["running"] == 0)
    assert planned(small).counts() == {"done": 0, "failed": 0, "running": 0, "open": 4}
    lines = (tmp_path / "said").read_text().splitlines()
    assert sum("begun" in line for line in lines) == 2
    assert [line for line in lines if "begun" not in line] == (
        ["error: interrupted: what is finished is kept: run again to resume"] if code == 130 else []
    )
    mark.unlink()
    holder.join(PATIENCE)
    assert runner.plan(planned(small).project, "labels").counts()["open"] == 4
