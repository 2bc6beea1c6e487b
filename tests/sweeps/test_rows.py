"""The rows of one cell with everything in it, beside what the report says of the same stages' outputs."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from pipeline.artifacts import manifest, quality
from pipeline.reporting import summary
from pipeline.reporting.summary import Summary
from pipeline.stages import report
from pipeline.sweeps.carry_out import workspace_of
from pipeline.sweeps.columns import SKEW
from pipeline.workspace import Workspace
from tests.conftest import small_document
from tests.sweeps.conftest import carried_out, write_sweep

Rows = list[dict[str, Any]]
SET = {
    "train.fills": ["none", "synthetic"],
    "train.references": ["central-real", "central-synthetic"],
    "train.alone": ["synthetic"],
    "train.rounds": 1,
    "train.central_steps": 4,
    "evaluate.steps": 4,
    "evaluate.images_per_class": 6,
    "report.target_accuracy": 0.01,
}


@pytest.fixture(scope="module")
def cell(tmp_path_factory: pytest.TempPathFactory, small_data: Path, tiny_model: Path) -> tuple[Workspace, Rows]:
    """The workspace of a cell that is done and keeps everything, and its rows."""
    project = tmp_path_factory.mktemp("cell") / "project"
    project.mkdir()
    (project / "params.yaml").write_text(yaml.safe_dump(small_document(small_data, tiny_model)))
    axes = {"partition.seed": [1]}
    write_sweep(project, {"about": "x", "evaluate": True, "keep": "all", "set": SET, "axes": axes})
    plan, told = carried_out(project)
    assert told[-1].what == "done"
    place = plan.place(plan.cells[0])
    workspace = workspace_of(plan.project, place)
    report.run(workspace, plan.cells[0].params)
    return workspace, pq.read_table(plan.folder.results).to_pylist()


@pytest.fixture(scope="module")
def rows(cell: tuple[Workspace, Rows]) -> dict[tuple[str, str], dict[str, Any]]:
    """The rows by fill and budget."""
    return {(row["fill"], row["budget"]): row for row in cell[1]}


@pytest.fixture(scope="module")
def reported(cell: tuple[Workspace, Rows]) -> Summary:
    return summary.load(cell[0].report_metrics)


def test_a_central_run_sends_its_weights_once_to_each_client(
    rows: dict[tuple[str, str], dict[str, Any]], reported: Summary
) -> None:
    """It reaches the target, 1 %, after no round; four clients receive what each of them receives in a round."""
    weights = rows["none", "steps"]["bytes_down"]
    for one in reported.references:
        row = rows[one.fill, "steps"]
        assert (row["central"], row["target_round"], row["target_bytes"]) == (True, 0, weights)
        assert one.megabytes == round(weights / 1e6, 2)
    assert not any(rows[fill, "steps"]["central"] for fill in ("none", "synthetic"))


def test_images_are_as_large_as_the_shards(
    cell: tuple[Workspace, Rows], rows: dict[tuple[str, str], dict[str, Any]], reported: Summary
) -> None:
    size = sum(shard.bytes for shard in manifest.load(cell[0].manifest).shards)
    assert size > 0
    sizes = {fill: row["image_bytes"] for (fill, _), row in rows.items()}
    assert sizes == {"none": 0, "central-real": 0, "synthetic": size, "central-synthetic": size}
    assert {one.fill: one.image_megabytes for one in reported.fills} == {
        fill: round(value / 1e6, 2) for fill, value in sizes.items()
    }


def test_images_are_kept_added_or_left_out(rows: dict[tuple[str, str], dict[str, Any]]) -> None:
    """A central run on synthetic images adds as many as the fill, and leaves all real ones out."""
    real, added = rows["none", "steps"]["images_real"], rows["synthetic", "steps"]["images_added"]
    assert min(real, added) > 0
    assert {
        fill: (row["images_real"], row["images_added"], row["images_dropped"]) for (fill, _), row in rows.items()
    } == {
        "none": (real, 0, 0),
        "synthetic": (real, added, 0),
        "central-real": (real, 0, 0),
        "central-synthetic": (real, added, real),
    }


def test_the_floor_of_skew_stands_beside_it(rows: dict[tuple[str, str], dict[str, Any]], reported: Summary) -> None:
    for one in reported.skew:
        row = rows[one.fill, "steps"]
        assert {name: row[f"skew_{name}"] for name in SKEW} == asdict(one.clients)
        assert {name: row[f"floor_{name}"] for name in SKEW} == asdict(one.iid)
        assert {name: row[f"real_{name}"] for name in SKEW} == asdict(reported.skew[0].clients)
    assert [one.fill for one in reported.skew] == ["none", "synthetic"]


def test_clients_alone_are_those_of_the_report(rows: dict[tuple[str, str], dict[str, Any]], reported: Summary) -> None:
    """One training seed, so the report's means over seeds are the row's numbers, with fewer digits."""
    for one in reported.alone:
        row = rows[one.fill, one.budget]
        assert one.own is not None
        for name, value in asdict(one.own).items():
            assert row[f"alone_clients_{name}"] == pytest.approx(value, abs=1e-4)
        assert row["alone_own"] == row["alone_clients_mean"]
        assert row["alone_whole"] == pytest.approx(one.whole.mean, abs=1e-4)
        better = one.better_off["fedavg"]
        assert row["alone_better"] == pytest.approx(better.own, abs=1e-4)
        assert row["alone_better_whole"] == pytest.approx(better.whole, abs=1e-4)
    assert {(one.fill, one.budget) for one in reported.alone} <= {key for key in rows if key[0] == "synthetic"}
    assert rows["none", "steps"]["alone_better"] is None


def test_who_judged_the_images_is_named_with_a_digest(
    cell: tuple[Workspace, Rows], rows: dict[tuple[str, str], dict[str, Any]]
) -> None:
    found = quality.load(cell[0].quality)
    for name, model in (("judge", found.judge), ("extractor", found.extractor)):
        assert rows["none", "steps"][f"quality_{name}"] == f"{model.name} {model.digest}"
    assert rows["none", "steps"]["quality_verdict"] == found.whole.verdict
