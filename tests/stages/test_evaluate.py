"""The stage evaluate on the small project: what it writes, that it repeats, and that it never looks at test images."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from pipeline import params
from pipeline.artifacts import manifest, quality
from pipeline.artifacts.quality import Report
from pipeline.errors import ArtifactError
from pipeline.params import Params
from pipeline.stages import deficits, evaluate, generate, partition
from pipeline.workspace import Workspace
from tests import gated
from tests.conftest import MakeImages, small_document


@pytest.fixture(scope="module")
def prepared(
    tmp_path_factory: pytest.TempPathFactory, plenty: Path, tiny_model: Path
) -> tuple[Workspace, Params, Report]:
    """A project with shards and their evaluation: 360 training images, of which the clients hold 90."""
    folder = tmp_path_factory.mktemp("evaluated")
    document = small_document(plenty, tiny_model)
    document["partition"]["max_images"] = 90
    (folder / "params.yaml").write_text(yaml.safe_dump(document))
    workspace = Workspace(folder, folder / "cache")
    read = params.load(workspace.params)
    partition.run(workspace, read)
    deficits.run(workspace, read)
    generate.run(workspace, read, ["cpu"])
    return workspace, read, evaluate.run(workspace, read)


def test_every_class_has_numbers_beside_those_of_real_images(prepared: tuple[Workspace, Params, Report]) -> None:
    """The tiny model has random weights: its images show no class, and a classifier learns nothing from them."""
    workspace, _, report = prepared
    assert quality.load(workspace.quality) == report
    assert [one.class_name for one in report.classes] == ["ankle boot", "bag", "coat"]
    assert sum(one.images for one in report.classes) == report.whole.images > 0
    whole = report.whole
    assert whole.usefulness.real is not None
    assert whole.usefulness.synthetic is not None
    assert whole.usefulness.real.mean > 0.9
    assert whole.usefulness.synthetic.mean < 0.7
    assert whole.judge_accuracy is not None
    assert whole.judge_accuracy > 0.9
    assert whole.agreement is not None
    assert whole.agreement < 0.7
    assert whole.verdict == "bad"
    assert "poor generation" in whole.failures
    assert [one.name for one in whole.distances] == ["Clipped Density", "Clipped Coverage", "KID", "sliced Wasserstein"]
    assert whole.distances[0].value < 0.1 < 0.5 < (whole.distances[0].floor or 0)
    assert report.real == "real training images that no client holds"
    assert whole.flags.refused is None
    with Image.open(workspace.evaluation / "copies.png") as sheet:
        assert sheet.width > 110 + 2 * 64


def test_a_second_run_writes_the_same_bytes_and_trains_nothing(
    prepared: tuple[Workspace, Params, Report], capfd: pytest.CaptureFixture[str]
) -> None:
    workspace, read, _ = prepared
    before = {path: path.read_bytes() for path in (workspace.quality, workspace.evaluation / "copies.png")}
    fresh = Workspace(workspace.root, workspace.root / "other-cache")
    evaluate.run(fresh, read)
    assert {path: path.read_bytes() for path in before} == before
    assert "training a small network" in capfd.readouterr().err
    evaluate.run(workspace, read)
    assert {path: path.read_bytes() for path in before} == before
    said = capfd.readouterr().err
    assert "training a small network" not in said
    assert said.count("were trained before") == 3


def test_test_images_change_no_number(
    prepared: tuple[Workspace, Params, Report], tmp_path: Path, make_images: MakeImages
) -> None:
    """With other test images every number and digest stays."""
    workspace, read, report = prepared
    data = Path(shutil.copytree(read.data.path, tmp_path / "data"))
    labels = np.repeat(np.arange(3), 4)
    make_images(data / "test.parquet", np.full((12, 16, 16, 3), 7, np.uint8), labels.tolist())
    document: dict[str, Any] = read.model_dump(mode="json")
    document["data"]["path"] = str(data)
    assert evaluate.run(workspace, Params.model_validate(document)) == report


def test_clients_that_hold_all_images_are_said_to_be_the_reference(
    workspace: Workspace, capfd: pytest.CaptureFixture[str]
) -> None:
    """20 images of each class, all with clients: 7, 6 and 7 for the three parts. No class lacks anything."""
    read = params.load(workspace.params)
    none = read.model_copy(update={"deficits": read.deficits.model_copy(update={"ratio": 0.0})})
    partition.run(workspace, none)
    deficits.run(workspace, none)
    generate.run(workspace, none, ["cpu"])
    report = evaluate.run(workspace, none)
    assert "the clients' own images" in report.real
    assert any("the clients' own images" in line for line in report.left_out)
    assert "evaluate: the real images are the clients' own images" in capfd.readouterr().err
    assert (report.whole.images, report.whole.verdict) == (0, "unknown")
    assert "usefulness and distances leave out classes" in "\n".join(report.left_out)
    assert quality.load(workspace.quality) == report


def test_shards_of_another_partition_are_refused(prepared: tuple[Workspace, Params, Report], tmp_path: Path) -> None:
    workspace, read, _ = prepared
    other = Workspace(tmp_path / "other", workspace.cache)
    shutil.copytree(workspace.data, other.data)
    more = read.model_copy(update={"partition": read.partition.model_copy(update={"clients": 5})})
    partition.run(other, more)
    with pytest.raises(ArtifactError, match=r"of another partition.*dvc repro generate"):
        evaluate.run(other, more)


def test_with_a_gate_the_images_that_passed_are_measured_and_the_refused_ones_counted(
    tmp_path: Path, small_data: Path, tiny_model: Path
) -> None:
    """The gate's judge agrees with all of them by construction, which is said."""
    document = gated.document(small_data, tiny_model, gated.judge(tmp_path / "judge", tiny_model))
    document["evaluate"]["judge"] = document["generate"]["gate"]["judge"]
    workspace = gated.project(tmp_path / "project", document)
    known = manifest.load(workspace.manifest)
    report = evaluate.run(workspace, Params.model_validate(document))
    assert [one.flags.refused for one in report.classes] == list(known.refusals())
    assert report.whole.flags.refused == sum(known.refusals()) > 0
    assert report.whole.images == known.rows
    assert report.whole.agreement == 1.0
    assert report.left_out[0].startswith("the judge is the gate's own")
