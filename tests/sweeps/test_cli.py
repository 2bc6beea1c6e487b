"""What the commands of sweeps print, and what they foresee."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import yaml

from pipeline.cli import sweep as cli
from pipeline.errors import ArtifactError, ParameterError
from pipeline.generation.pool import Pool, list_recipes
from pipeline.params import TrainParams
from pipeline.sweeps import forecast, page
from tests.conftest import ROOT
from tests.sweeps.conftest import SWEEP, carried_out, planned, write_sweep


def test_status_lists_cells_in_order_of_the_file_with_their_states(done: Path) -> None:
    write_sweep(done, {**SWEEP, "axes": {"partition.labels_per_client": [3, 1, 2], "partition.seed": [1, 2]}})
    plan = planned(done)
    plan.place(plan.cells[3]).reopen()
    plan.place(plan.cells[3]).fail(plan.cells[3], "no such thing: there: make it")
    lines = cli.status_text(plan).splitlines()
    assert [line.split() for line in lines[:7]] == [
        ["cell", "state", "partition.labels_per_client", "partition.seed"],
        ["-", "open", "3", "1"],
        ["-", "open", "3", "2"],
        ["1", "done", "1", "1"],
        ["2", "failed", "1", "2"],
        ["3", "done", "2", "1"],
        ["4", "done", "2", "2"],
    ]
    assert lines[7] == "cell 2 failed: no such thing: there: make it"
    assert lines[8].startswith("labels: 6 cells: 3 done, 1 failed, 0 running, 2 open; tables in ")


def test_a_dry_run_foresees_what_is_then_paid_for_and_writes_nothing(project: Path, sweep: dict[str, Any]) -> None:
    """Its images are those of the pool afterwards; of the fill none each cell has a run for each of two budgets."""
    write_sweep(project, sweep)
    plan = planned(project)
    found = forecast.forecast(plan, None)
    assert not plan.folder.folder.exists()
    assert not plan.project.pool.exists()
    assert [one.new_runs for one in found] == [2, 2, 2, 2]
    assert {one.runs for one in found} == {2}
    carried_out(project)
    with Pool(plan.project.pool) as pool:
        assert len(frozenset().union(*(one.missing for one in found))) == sum(e.images for e in list_recipes(pool))
    shutil.rmtree(plan.folder.folder)
    after = forecast.forecast(planned(project), None)
    assert [(one.number, one.state, one.new_images, one.new_runs) for one in after] == [(None, "open", 0, 0)] * 4
    assert [one.images for one in after] == [one.images for one in found]
    text = cli.forecast_text(plan, after)
    assert "0 distinct images of all cells together are not in the pool" in text


def test_finished_cells_cost_nothing(done: Path) -> None:
    assert {(one.state, one.new_images, one.runs) for one in forecast.forecast(planned(done), [2, 3])} == {
        ("done", 0, 0)
    }


def test_the_page_has_algorithms_and_fills_in_the_order_of_the_parameters() -> None:
    """fedavg comes before fedadam there, and synthetic before none; cells keep their order."""
    shipped = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    params = TrainParams.model_validate(
        {**shipped["train"], "algorithms": ["fedavg", "fedadam"], "fills": ["synthetic", "none"]}
    )
    rows = [(cell, fill, name) for cell in (1, 2) for fill in ("none", "synthetic") for name in ("fedadam", "fedavg")]
    table = pa.table(dict(zip(("cell", "fill", "algorithm"), map(list, zip(*rows, strict=True)), strict=True)))
    assert [tuple(row.values()) for row in page.as_named(table, params).to_pylist()] == [
        (cell, fill, name) for name in ("fedavg", "fedadam") for cell in (1, 2) for fill in ("synthetic", "none")
    ]


def test_the_page_is_made_of_what_is_done(done: Path, project: Path, sweep: dict[str, Any]) -> None:
    plan = planned(done)
    text = page.write(plan).read_text()
    assert SWEEP["about"] in text
    assert "partition.labels_per_client" in text
    place = done / "docs" / "results"
    files = page.publish(plan, place)
    assert sorted(place.iterdir()) == sorted(files)
    assert (place / "sweep.html").read_text() == text
    assert [(place / name).read_bytes() for name in ("results.parquet", "curves.parquet")] == [
        plan.folder.results.read_bytes(),
        plan.folder.curves.read_bytes(),
    ]
    assert SWEEP["about"] in (place / "README.md").read_text()
    with pytest.raises(
        ParameterError, match=r"^no folder can be made: File exists: .*sweep.html: name another folder$"
    ):
        page.publish(plan, place / "sweep.html")
    write_sweep(project, sweep)
    with pytest.raises(ArtifactError, match="no cell is done yet"):
        page.write(planned(project))


@pytest.mark.parametrize(("given", "numbers"), [("3", [3]), ("3,5-7", [3, 5, 6, 7]), (" 1 , 2", [1, 2]), (None, None)])
def test_cells_are_chosen_by_number(given: str | None, numbers: list[int] | None) -> None:
    assert cli.numbers(given) == numbers


@pytest.mark.parametrize("given", ["", "a", "1-", "-1", "1-2-3", "1,,2", "1-99999999"])
def test_what_is_no_number_is_refused(given: str) -> None:
    with pytest.raises(ParameterError, match=r"--cells: write such as 3,5-8"):
        cli.numbers(given)


def test_a_number_that_no_cell_has_is_refused(finished: Path) -> None:
    with pytest.raises(ParameterError, match=r"no cell 5: .*: gen-fedsd sweep status labels"):
        planned(finished).chosen([1, 5])


def test_the_command_line_ends_with_1_where_a_cell_failed(project: Path, sweep: dict[str, Any]) -> None:
    """stdout has the result, stderr the progress and the reason."""
    axes = {"generate.prompts": ["missing.yaml"]}
    write_sweep(project, {**sweep, "axes": axes})
    command = [sys.executable, "-m", "pipeline", "sweep", "run", "labels", "--devices", "cpu", "--workers", "1"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert ended.stdout.startswith("labels: 1 cells: 0 done, 1 failed, 0 running, 0 open; tables in ")
    lines = ended.stderr.splitlines()
    assert lines[0] == "cell 1 (generate.prompts missing.yaml): begun [0 of 1 done]"
    assert lines[1].startswith("cell 1 (generate.prompts missing.yaml): failed: ")
    assert lines[1].endswith(" [0 of 1 done, 1 failed]")
    assert lines[2].startswith("cell 1 failed: ")
    assert lines[3] == "when the cause is mended: gen-fedsd sweep retry labels --failed"
    assert len(lines) == 4
