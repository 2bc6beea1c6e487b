"""Stage ``partition`` where a column of the data set, or a file, says who holds which image."""

import io
from pathlib import Path
from typing import Any

import pytest
from datasets import ClassLabel, Dataset, Features, Value
from datasets import Image as ImageFeature
from PIL import Image

from pipeline.artifacts import partition as artifact
from pipeline.artifacts.partition import Partition
from pipeline.errors import ArtifactError, DataError, ParameterError
from pipeline.params import Params
from pipeline.stages import partition
from pipeline.workspace import Workspace

NAMES = ["N/A", "cat", "d$o_{g"]
WRITERS = ["w10", "w2", "w2", "ann", "w10", "w2"]
"""Of six images, which are cats and dogs in turn; none is of the first class."""


def png(shade: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16), (shade, shade, 0)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def tables(workspace: Workspace, document: dict[str, Any]) -> dict[str, Any]:
    """Return a document of six images for training and two for testing, as Parquet files with their writers."""
    folder = workspace.root / "letters"
    folder.mkdir()
    columns = Features({"image": ImageFeature(), "label": ClassLabel(names=NAMES), "writer": Value("string")})
    for split, writers in (("train", WRITERS), ("test", WRITERS[:2])):
        pictures = [{"bytes": png(30 * i + len(writers)), "path": None} for i in range(len(writers))]
        rows = {"image": pictures, "label": [1 + i % 2 for i in range(len(writers))], "writer": writers}
        Dataset.from_dict(rows, features=columns).to_parquet(folder / f"{split}.parquet")
    document["data"] |= {"path": "letters"}
    return document


def run(workspace: Workspace, document: dict[str, Any], scheme: str, **values: Any) -> Partition:
    document["partition"] |= {"scheme": scheme, "clients": None, **values}
    partition.run(workspace, Params.model_validate(document))
    return artifact.load(workspace.partition)


def test_a_client_for_each_value_of_a_column(
    workspace: Workspace, tables: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """In natural order ann, w2, w10: images 3; 1, 2 and 5; 0 and 4. Nobody has the class "N/A", as is said."""
    split = run(workspace, tables, "column", column="writer")
    assert (split.rows.tolist(), split.clients.tolist()) == ([3, 1, 2, 5, 0, 4], [0, 1, 1, 1, 2, 2])
    assert (split.client_count, split.client_names) == (3, ("ann", "w2", "w10"))
    assert split.counts().tolist() == [[0, 0, 1], [0, 1, 2], [0, 2, 0]]
    said = capsys.readouterr().err
    assert "clients are numbered in order of their names: 0 is ann, 1 is w2, 2 is w10" in said
    assert "no client has an image of some classes: 1 of 3 (N/A)" in said
    with pytest.raises(DataError, match="no column 'hospital'"):
        run(workspace, tables, "column", column="hospital")
    with pytest.raises(ParameterError, match="5 clients, but column 'writer' has 3"):
        run(workspace, tables, "column", column="writer", clients=5)


def test_max_images_can_leave_a_client_without_images(
    workspace: Workspace, tables: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """One image of each class is held by two of the three writers at most."""
    split = run(workspace, tables, "column", column="writer", max_images=2)
    assert split.counts().sum(axis=0).tolist() == [0, 1, 1]
    assert split.client_count == 3
    empty = 3 - len(set(split.clients.tolist()))
    assert f"partition: {empty} of 3 clients hold no image" in capsys.readouterr().err


def test_an_assignment_of_rows(
    workspace: Workspace, tables: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    (workspace.root / "owners.csv").write_text("row,client\n4,1\n0,0\n5,1\n")
    split = run(workspace, tables, "assignment", assignment="owners.csv")
    assert (split.rows.tolist(), split.clients.tolist(), split.client_names) == ([0, 4, 5], [0, 1, 1], None)
    assert "partition: 3 images that owners.csv does not list are left out" in capsys.readouterr().err


def test_an_assignment_of_files_where_some_are_bad(workspace: Workspace, document: dict[str, Any]) -> None:
    """Files count from the data set's own order, rows of the partition without the bad one: cat/2 is row 1."""
    for place in ("train/cat/0.png", "train/cat/1.png", "train/cat/2.png", "train/dog/0.png", "test/cat/0.png"):
        path = workspace.root / "photos" / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"bad" if place == "train/cat/1.png" else png(len(place) + int(path.stem)))
    document["data"] |= {"path": "photos", "on_bad": "skip"}
    (workspace.root / "owners.csv").write_text("file,client\ndog/0.png,b\ncat/2.png,a\ncat/1.png,a\n")
    split = run(workspace, document, "assignment", assignment="owners.csv")
    assert (split.rows.tolist(), split.clients.tolist(), split.client_names) == ([1, 2], [0, 1], ("a", "b"))
    (workspace.root / "owners.csv").write_text("row,client\n3,b\n2,a\n")
    again = run(workspace, document, "assignment", assignment="owners.csv")
    assert (again.rows.tolist(), again.clients.tolist()) == ([1, 2], [0, 1])


def test_a_picture_that_cannot_be_written_leaves_no_partition(workspace: Workspace, tables: dict[str, Any]) -> None:
    workspace.partition_picture.mkdir(parents=True)
    with pytest.raises(ArtifactError, match=r"partition.png"):
        run(workspace, tables, "column", column="writer")
    assert not workspace.partition.exists()


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ({"scheme": "column"}, "scheme column needs partition.column"),
        ({"scheme": "assignment"}, "scheme assignment needs partition.assignment"),
        ({"scheme": "iid"}, "scheme iid needs partition.clients"),
    ],
)
def test_a_scheme_without_what_it_needs_is_refused(project: Path, values: dict[str, Any], match: str) -> None:
    import yaml

    from pipeline import params

    document = yaml.safe_load(Path("params.yaml").read_text())
    document["partition"] |= {"clients": None, **values}
    Path("params.yaml").write_text(yaml.safe_dump(document))
    with pytest.raises(ParameterError, match=match):
        params.load(Path("params.yaml"))
