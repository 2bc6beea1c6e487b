"""gen-fedsd init: what it finds in a data set, proposes for it, and writes."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from pipeline import dvc_yaml, params
from pipeline.commands import init
from pipeline.errors import DataError, ParameterError
from pipeline.workspace import Workspace

ROOT = Path(__file__).parents[2]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """An empty folder that is in no git repository."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    return Workspace()


def draw(folder: Path, each: int, side: int, *names: str) -> Path:
    for label, name in enumerate(names):
        (folder / name).mkdir(parents=True)
        for number in range(each):
            pixels = np.full((side, side + 4, 3), (40 * label + number) % 256, np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
    return folder


def start(here: Workspace, path: Path, model: str | None = "data/demo/model") -> init.Done:
    return init.init(here, init.Asked(str(path)), model, dvc=False)


def test_class_folders_get_a_holdout_words_a_size_and_a_partition_that_is_possible(
    here: Workspace, tmp_path: Path
) -> None:
    """100 pictures of each of two classes; a fifth of each is held out, so 160 are left: 160 / 20 = 8 clients."""
    done = start(here, draw(tmp_path / "data", 100, 150, "golden-retriever", "n02690373"))
    read = params.load(here.params)
    assert read == done.params
    assert (read.data.train, read.data.test, read.data.holdout) == (".", None, 0.2)
    assert read.generate.class_overrides == {"golden-retriever": "golden retriever", "n02690373": "airliner"}
    assert (read.data.image_size, read.generate.image_format, read.train.model) == (128, "webp", "resnet18")
    assert (read.partition.clients, read.partition.max_images) == (8, None)
    assert done.found is not None
    assert done.found.sizes == (("154x150", 160),)
    assert done.estimate is not None
    assert done.estimate.images == 160
    assert (done.estimate.current.rule, done.estimate.current.sharing) == ("global-mean", "own")
    names = {path.relative_to(here.root).as_posix() for path in here.root.rglob("*") if path.is_file()}
    assert {"dvc.yaml", ".gitignore", "data/prompts/diverse.yaml", "data/demo/model/model_index.json"} <= names
    assert not any(name.startswith("data/demo/images") for name in names)


def test_splits_domains_and_labels_of_a_table(here: Workspace, tmp_path: Path) -> None:
    from datasets import ClassLabel, Dataset, Features, Value
    from datasets import Image as Picture

    kinds = ("photo", "sketch")
    features = Features(
        {
            "image": Picture(),
            "coarse": ClassLabel(names=["animal", "thing"]),
            "fine": ClassLabel(names=["cat", "dog", "cup"]),
            "domain": Value("string"),
        }
    )
    for split, count in (("train", 60), ("validation", 6)):
        rows = {
            "image": [Image.fromarray(np.full((32, 32, 3), i, np.uint8)) for i in range(count)],
            "coarse": [i % 3 // 2 for i in range(count)],
            "fine": [i % 3 for i in range(count)],
            "domain": [kinds[i // 3 % 2] for i in range(count)],
        }
        Dataset.from_dict(rows, features=features).to_parquet(tmp_path / f"data/{split}.parquet")
    done = start(here, tmp_path / "data")
    read = done.params
    assert (read.data.test, read.data.holdout, read.data.image_size) == ("validation", None, None)
    assert (read.data.label_column, read.data.group_column) == ("fine", "domain")
    assert read.generate.prompts == "data/prompts/own-domain.yaml"
    assert any("several columns have classes: coarse (2), fine (3); fine is taken" in one for one in done.remarks)
    assert done.found is not None
    assert set(done.found.columns) == {"coarse", "domain"}


def test_names_that_say_nothing_are_told_before_anything_runs(here: Workspace, tmp_path: Path) -> None:
    done = start(here, draw(tmp_path / "data", 30, 32, "7", "8"))
    assert any('2 of the classes have no name that a model knows, such as "7"' in one for one in done.remarks)


def test_many_classes_get_their_words_in_a_file(here: Workspace, tmp_path: Path) -> None:
    draw(tmp_path / "data", 12, 20, *(f"kind_{letter}" for letter in "abcdefghijklm"))
    assert start(here, tmp_path / "data").params.generate.class_overrides == "class-words.yaml"
    assert yaml.safe_load(Path("class-words.yaml").read_text())["kind_a"] == "kind a"


def test_mistakes_are_refused_and_nothing_is_written(here: Workspace, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder, and no Hub id: /nowhere/x"):
        start(here, Path("/nowhere/x"))
    with pytest.raises(ParameterError, match=r"no such folder or file, and no Hub id: \./model: check --model"):
        start(here, draw(tmp_path / "data", 30, 32, "cat", "dog"), "./model")
    assert list(here.root.iterdir()) == []
    here.params.write_text("mine: 1\n")
    with pytest.raises(ParameterError, match="edits that no commit holds"):
        start(here, tmp_path / "data")
    assert [path.name for path in here.root.iterdir()] == ["params.yaml"]


def test_without_data_it_is_the_demo_and_a_second_time_nothing_changes(here: Workspace) -> None:
    first = init.init(here, None, None, dvc=True)
    assert first.changed
    assert first.laid_out.dvc
    assert params.load(here.params) == params.load(ROOT / "params.yaml")
    assert (here.root / "data/demo/images/train.parquet").is_file()
    assert (here.root / ".dvc/plots/arms.json").is_file()
    before = {path: path.read_bytes() for path in here.root.rglob("*") if path.is_file()}
    again = init.init(here, None, None, dvc=True)
    assert (again.changed, again.laid_out.files, again.laid_out.dvc) == (False, (), False)
    assert {path: path.read_bytes() for path in here.root.rglob("*") if path.is_file()} == before


def test_the_pipeline_of_a_workspace_is_that_of_a_clone_but_for_the_code() -> None:
    clone = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    made = yaml.safe_load(dvc_yaml.for_workspace())["stages"]
    written = {next(iter(out)) for out in made.pop("fingerprint-code")["outs"]}
    for name, stage in clone.items():
        kept = [dep for dep in stage.get("deps", ()) if not dep.startswith("pipeline/")]
        code = [dvc_yaml.place(name)] if len(kept) < len(stage.get("deps", ())) else []
        assert sorted(made[name].get("deps", ())) == sorted([*kept, *code]), name
        assert set(code) <= written
        assert {key: value for key, value in made[name].items() if key != "deps"} == {
            key: value for key, value in stage.items() if key != "deps"
        }
    assert made.keys() == clone.keys()


def test_version() -> None:
    done = subprocess.run([sys.executable, "-m", "pipeline", "--version"], capture_output=True, text=True, check=True)
    assert re.fullmatch(r"gen-fedsd \S+\n", done.stdout)
