"""Sweeps that are carried out, with the real stages on small data: states, numbers, failures, tables."""

import importlib.metadata
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from pipeline import params
from pipeline.artifacts import history
from pipeline.artifacts import partition as partition_file
from pipeline.errors import ArtifactError, ParameterError
from pipeline.federated import runs as run_store
from pipeline.federated.workers import ExecutionOptions
from pipeline.generation.pool import Pool, list_recipes
from pipeline.stages import deficits, fill, generate, partition, train
from pipeline.sweeps import runner, tables
from pipeline.sweeps.carry_out import workspace_of
from pipeline.sweeps.folder import Place
from pipeline.sweeps.runner import Plan
from pipeline.workspace import Workspace
from tests.sweeps.conftest import ONE, SWEEP, carried_out, planned, write_sweep


def contents(plan: Plan) -> dict[str, bytes]:
    """Return the bytes of the tables and of what is kept of each cell, but for logs and ledgers, which hold times."""
    folder, untracked = plan.folder.folder, ("log.txt", "lock", "ledger.jsonl")
    kept = (path for path in folder.rglob("*") if path.is_file() and path.name not in untracked)
    return {str(path.relative_to(folder)): path.read_bytes() for path in kept}


def begun(told: list[runner.Told]) -> list[int]:
    return [one.number for one in told if one.what == "begun"]


def test_a_finished_sweep_does_nothing_again(done: Path) -> None:
    before = contents(planned(done))
    plan, told = carried_out(done)
    assert told == []
    assert contents(plan) == before


def test_rows_are_those_of_the_stages_in_a_workspace_of_its_own(done: Path, tmp_path: Path) -> None:
    """A cell gives what somebody gets who writes its parameters into a params.yaml and runs the stages there."""
    plan = planned(done)
    cell = plan.cells[2]
    workspace, chosen = Workspace(tmp_path / "alone", tmp_path / "alone cache"), cell.params
    partition.run(workspace, chosen)
    deficits.run(workspace, chosen)
    generate.run(workspace, chosen, ["cpu"])
    for name in chosen.train.fills:
        fill.run(workspace, chosen, name)
        train.run(workspace, chosen, name, "fedavg", ExecutionOptions(1))
    expected = {
        (run.fill, run.budget): round(run.primary, 6)
        for name in chosen.train.fills
        for run in history.load(workspace.run(name, "fedavg"))
        if run.primary is not None
    }
    results, curves = tables.load(plan.folder)
    rows = [row for row in results.to_pylist() if row["cell"] == 3]
    assert {(row["fill"], row["budget"]): row["primary"] for row in rows} == expected
    assert {row["partition.labels_per_client"] for row in rows} == {"2"}
    assert {row["partition_seed"] for row in rows} == {1}
    assert {row["partition_digest"] for row in rows} == {partition_file.load(workspace.partition).digest()}
    assert len({row["partition_digest"] for row in results.to_pylist()}) == 4
    assert "partition.seed" not in results.column_names
    assert {row["kind"] for row in rows if row["fill"] == "synthetic"} == {"synthetic"}
    assert all((row["images_added"] > 0) == (row["fill"] == "synthetic") for row in rows)
    assert {(row["fill"], row["budget"]) for row in curves.to_pylist() if row["cell"] == 3} == set(expected)


def test_tables_do_not_depend_on_the_order_in_which_cells_were_done(finished: Path, done: Path) -> None:
    plan = planned(done)
    for cell in plan.cells:
        plan.place(cell).reopen()
    conditions = runner.begin(plan, ONE, redo=False)
    for number in (4, 2, 3, 1):
        runner.work(plan, plan.chosen([number]), ONE, conditions, lambda _: None)
    assert contents(plan) == contents(planned(finished))


def test_what_is_large_is_deleted_of_a_finished_cell_and_said(project: Path, sweep: dict[str, Any]) -> None:
    """Four clients, so four files of shards; two fills under two budgets, so four files of weights."""
    write_sweep(project, {**sweep, "axes": {"partition.seed": [1]}})
    plan, told = carried_out(project)
    place = plan.place(plan.cells[0])
    workspace = workspace_of(plan.project, place)
    assert told[-1].what.startswith("done; 4 files of shards, 4 files of weights, 1 decoded arrays (")
    assert not workspace.shards.exists()
    assert not list(place.folder.rglob("*.safetensors"))
    split = json.loads(workspace.inventory.read_text())["splits"]
    assert {path.stem for path in workspace.arrays.glob("*.npy") if "." not in path.stem} == {
        one["array"] for one in split
    }
    write_sweep(project, {**sweep, "axes": {"partition.seed": [1]}, "keep": "all"}, "all")
    plan, told = carried_out(project, "all")
    assert told[-1].what == "done"
    assert len(list(workspace_of(plan.project, plan.place(plan.cells[0])).shards.glob("client-*"))) == 4


def test_a_longer_grid_keeps_numbers_and_carries_out_only_what_is_new(done: Path) -> None:
    """A value before the others, which comes first in the file, gets the next numbers: 5 and 6."""
    before = pq.read_table(planned(done).folder.results)
    write_sweep(done, {**SWEEP, "axes": {"partition.labels_per_client": [3, 1, 2], "partition.seed": [1, 2]}})
    plan, told = carried_out(done)
    assert begun(told) == [5, 6]
    assert [plan.numbers[cell.digest] for cell in plan.cells] == [5, 6, 1, 2, 3, 4]
    after = pq.read_table(plan.folder.results)
    assert after.slice(0, len(before)).equals(before)
    assert {row["partition.labels_per_client"] for row in after.slice(len(before)).to_pylist()} == {"3"}


def test_a_shorter_grid_leaves_cells_out_of_the_tables_and_forgets_none(done: Path) -> None:
    write_sweep(done, {**SWEEP, "axes": {"partition.labels_per_client": [2], "partition.seed": [1, 2]}})
    plan, told = carried_out(done)
    assert told == []
    assert {row["cell"] for row in pq.read_table(plan.folder.results).to_pylist()} == {3, 4}
    write_sweep(done, SWEEP)
    plan, told = carried_out(done)
    assert told == []
    assert {row["cell"] for row in pq.read_table(plan.folder.results).to_pylist()} == {1, 2, 3, 4}


def test_a_new_training_seed_keeps_numbers_and_trains_only_that_seed(done: Path) -> None:
    """Each cell has three runs a seed: none with two budgets, and the fill whose two are equal."""
    store = planned(done).project.runs
    before = {path.name for path in store.iterdir()}
    write_sweep(done, {**SWEEP, "set": {**SWEEP["set"], "train.seeds": [1, 2]}})
    plan, told = carried_out(done)
    assert begun(told) == [1, 3, 2, 4]
    assert {path.name for path in store.iterdir()} >= before
    assert len(list(store.iterdir())) == 2 * len(before)
    assert {row["train_seed"] for row in pq.read_table(plan.folder.results).to_pylist()} == {1, 2}


def test_cells_pay_once_for_images_and_runs(done: Path) -> None:
    """All lost but the cache: nothing is rendered or trained again, and the tables are the same."""
    plan = planned(done)
    before, store = contents(plan), {path.name: path.stat().st_ino for path in plan.project.runs.iterdir()}
    with Pool(plan.project.pool) as pool:
        images = [(entry.recipe, entry.images) for entry in list_recipes(pool)]
    shutil.rmtree(plan.folder.folder)
    plan, _ = carried_out(done)
    after = contents(plan)
    assert {path.name: path.stat().st_ino for path in plan.project.runs.iterdir()} == store
    with Pool(plan.project.pool) as pool:
        assert [(entry.recipe, entry.images) for entry in list_recipes(pool)] == images
    assert after["results.parquet"] == before["results.parquet"]
    assert "0 images rendered" in plan.place(plan.cells[0]).log.read_text()


def test_a_cell_that_fails_stops_no_other_and_is_tried_again_only_when_asked(
    project: Path, sweep: dict[str, Any]
) -> None:
    """The second of three cells names a prompt file that is not there."""
    missing = project / "missing.yaml"
    good = params.load(project / "params.yaml").generate.prompts
    axes = {"prompts": {"a": {"generate.prompts": good}, "b": {"generate.prompts": str(missing)}}, "seed": [1, 2]}
    write_sweep(project, {**sweep, "axes": axes})
    plan, told = carried_out(project)
    assert plan.counts() == {"done": 2, "failed": 2, "running": 0, "open": 0}
    said = [one.what for one in told if one.what.startswith("failed")]
    assert len(said) == 2
    assert all(str(missing) in text and "\n" not in text for text in said)
    assert {row["prompts"] for row in pq.read_table(plan.folder.results).to_pylist()} == {"a"}
    assert carried_out(project)[1] == []
    shutil.copy(good, missing)
    missing.write_text(missing.read_text().replace("a photo", "one photo") + "\n# another\n")
    plan = planned(project)
    assert runner.reopen(plan, None, only_failed=True) == 2
    plan, told = carried_out(project)
    assert begun(told) == [3, 4]
    assert plan.counts()["done"] == 4


def test_a_bug_in_one_cell_costs_the_others_nothing(
    project: Path, sweep: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is one line in the state, and a traceback in the cell's log."""
    write_sweep(project, {**sweep, "axes": {"partition.seed": [1, 2]}})
    real = deficits.run

    def broken(workspace: Workspace, chosen: params.Params) -> None:
        if chosen.partition.seed == 1:
            raise ZeroDivisionError("no\nreason")
        real(workspace, chosen)

    monkeypatch.setattr(deficits, "run", broken)
    plan, _ = carried_out(project)
    place = plan.place(plan.cells[0])
    assert plan.counts()["failed"] == plan.counts()["done"] == 1
    assert place.error(plan.cells[0]) == f"ZeroDivisionError: no reason: see the traceback in {place.log}"
    assert "Traceback" in place.log.read_text()


def other_version(patch: pytest.MonkeyPatch, package: str, version: str) -> None:
    real = importlib.metadata.version
    patch.setattr("importlib.metadata.version", lambda name: version if name == package else real(name))


CHANGES: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "version of what runs compute 999": lambda patch: patch.setattr(run_store, "VERSION", 999),
    "version of torch 0.0": lambda patch: patch.setattr("torch.__version__", "0.0"),
    "version of gen-fedsd 99": lambda patch: patch.setattr("importlib.metadata.version", lambda _: "99"),
    "version of diffusers 98": lambda patch: other_version(patch, "diffusers", "98"),
    "version of transformers 97": lambda patch: other_version(patch, "transformers", "97"),
    "device that trains cuda": lambda patch: patch.setattr("torch.cuda.is_available", lambda: True),
}


@pytest.mark.parametrize("change", CHANGES)
def test_other_code_than_that_of_finished_cells_is_refused_by_name(
    finished: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    plan, (name, _, value) = planned(finished), change.rpartition(" ")
    before = contents(plan)
    CHANGES[change](monkeypatch)
    with pytest.raises(ParameterError) as raised:
        runner.begin(plan, ONE, redo=False)
    assert f"{name} " in str(raised.value)
    assert f", now {value}" in str(raised.value)
    assert "gen-fedsd sweep run labels --redo" in str(raised.value)
    assert contents(plan) == before


def test_cells_that_come_back_are_compared_with_what_they_were_made_with(
    done: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others were carried out meanwhile with another version, which the sweep had no objection to."""
    write_sweep(done, {**SWEEP, "axes": {"partition.labels_per_client": [3], "partition.seed": [1]}})
    monkeypatch.setattr(run_store, "VERSION", 999)
    assert carried_out(done)[0].counts()["done"] == 1
    write_sweep(done, SWEEP)
    with pytest.raises(ParameterError, match=r"version of what runs compute .*, now 999"):
        runner.begin(planned(done), ONE, redo=False)


def test_redo_carries_out_all_cells_with_what_there_is_now(done: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = planned(done)
    monkeypatch.setattr(run_store, "VERSION", 999)
    _, told = carried_out(done, redo=True)
    assert begun(told) == [1, 3, 2, 4]
    assert plan.folder.read()["environment"]["version of what runs compute"] == "999"
    assert plan.counts()["done"] == 4


def test_images_that_changed_since_cells_were_done_are_refused(done: Path, small_data: Path) -> None:
    copy = done.parent / "images"
    shutil.copytree(small_data, copy)
    document = yaml.safe_load((done / "params.yaml").read_text())
    write_sweep(done, {**SWEEP, "set": {**SWEEP["set"], "data.path": str(copy)}}, "moved")
    plan, _ = carried_out(done, "moved")
    shutil.copy(copy / "train.parquet", copy / "test.parquet")
    with pytest.raises(ParameterError, match=r"content of images changed \(data.path = .*sweep run moved --redo"):
        runner.begin(plan, ONE, redo=False)
    assert document["data"]["path"] == str(small_data)


def test_no_cell_is_redone_while_another_process_carries_one_out(finished: Path) -> None:
    plan = planned(finished)
    place = plan.place(plan.cells[1])
    with place.taken() as held:
        assert held
        assert plan.state(plan.cells[1]) == "running"
        with pytest.raises(ArtifactError, match="cell 2 is being carried out"):
            runner.begin(plan, ONE, redo=True)
    assert plan.counts()["done"] == 4


def test_a_damaged_record_is_one_line(done: Path) -> None:
    plan = planned(done)
    plan.folder.record.write_text("{")
    with pytest.raises(ArtifactError, match="damaged"):
        planned(done)


def test_a_damaged_mark_opens_the_cell_again(done: Path) -> None:
    plan = planned(done)
    before = contents(plan)
    Place(2, plan.folder.place(2).folder).done.write_text("{")
    plan, told = carried_out(done)
    assert begun(told) == [2]
    assert contents(plan) == before
