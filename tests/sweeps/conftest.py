"""A small project with a sweep of a few cells, each of which takes about a second."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.sweeps import runner
from pipeline.sweeps.carry_out import Execution
from pipeline.sweeps.runner import Plan, Told
from pipeline.workspace import Workspace
from tests.conftest import small_document

ONE = Execution(("cpu",), 1)
SWEEP: dict[str, Any] = {
    "about": "Does a fill help, by how many labels a client holds?",
    "set": {"train.fills": ["none", "synthetic"], "train.references": [], "train.rounds": 1},
    "axes": {"partition.labels_per_client": [1, 2], "partition.seed": [1, 2]},
}


def write_sweep(project: Path, document: dict[str, Any], name: str = "labels") -> None:
    """Write a sweep file into a project."""
    path = project / "sweeps" / f"{name}.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(yaml.safe_dump(document, sort_keys=False))


def planned(project: Path, name: str = "labels") -> Plan:
    """Return a sweep of a project, with the cache beside the project."""
    return runner.plan(Workspace(project, project.parent / "cache"), name)


def carried_out(project: Path, name: str = "labels", *, redo: bool = False) -> tuple[Plan, list[Told]]:
    """Carry out all open cells in this process, and return what was told."""
    plan, told = planned(project, name), list[Told]()
    conditions = runner.begin(plan, ONE, redo)
    runner.work(plan, plan.chosen(None), ONE, conditions, told.append)
    return plan, told


@pytest.fixture
def sweep() -> dict[str, Any]:
    """The content of a small sweep file, with cells of its own for the test."""
    return {key: dict(value) if isinstance(value, dict) else value for key, value in SWEEP.items()}


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, small_data: Path, tiny_model: Path) -> Path:
    """A project whose sweep of four cells is done."""
    project = tmp_path_factory.mktemp("finished") / "project"
    project.mkdir()
    (project / "params.yaml").write_text(yaml.safe_dump(small_document(small_data, tiny_model)))
    write_sweep(project, SWEEP)
    plan, told = carried_out(project)
    assert [one.what.partition(";")[0] for one in told] == ["begun", "done"] * 4
    assert plan.counts() == {"done": 4, "failed": 0, "running": 0, "open": 0}
    return project


@pytest.fixture
def done(finished: Path, tmp_path: Path) -> Path:
    """A copy of it, with a cache of its own."""
    shutil.copytree(finished.parent, tmp_path / "copy")
    return tmp_path / "copy/project"
