import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import DataError, GenerationError, ParameterError
from pipeline.params import Params
from pipeline.stages import fingerprint
from pipeline.stages.fingerprint import IMAGES, MODEL, WORDS
from pipeline.workspace import Workspace
from tests.conftest import ROOT, MakeImages


def printed(workspace: Workspace, document: dict[str, Any], of: str, **changes: Any) -> dict[str, Any]:
    """Return the fingerprint with some parameters of its section changed."""
    section = "data" if of == IMAGES else "generate"
    params = Params.model_validate({**document, section: document[section] | changes})
    fingerprint.run(workspace, params, of)
    found: dict[str, Any] = json.loads(workspace.fingerprint(of).read_text(encoding="utf-8"))
    return found


def copied(source: Path, place: Path) -> Path:
    """Return a copy with other times and with what a file manager leaves in folders."""
    shutil.copytree(source, place)
    for path in [*place.rglob("*")]:
        os.utime(path, (1, 1))
        if path.is_dir():
            (path / ".DS_Store").write_text("mine")
    (place / ".DS_Store").write_text("mine")
    return place


def test_equal_images_have_one_fingerprint_wherever_they_are(
    workspace: Workspace, document: dict[str, Any], small_data: Path
) -> None:
    first = printed(workspace, document, IMAGES)
    assert set(first) == {"train", "test"}
    copied(small_data, workspace.data / "mine")
    assert printed(workspace, document, IMAGES, path="data/mine") == first


def test_each_change_of_the_images_changes_the_fingerprint(
    workspace: Workspace,
    document: dict[str, Any],
    small_data: Path,
    make_images: MakeImages,
    capsys: pytest.CaptureFixture[str],
) -> None:
    first = printed(workspace, document, IMAGES)
    copied(small_data, workspace.data / "mine")
    from pipeline.data import images

    tests = images.load(Params.model_validate(document).data, "test")
    pixels = tests.pixels(range(len(tests.labels)))
    pixels[0, 0, 0, 0] ^= 1
    make_images(workspace.data / "mine/test.parquet", pixels, tests.labels.tolist())
    capsys.readouterr()
    one_level = printed(workspace, document, IMAGES, path="data/mine")
    assert (one_level["train"] == first["train"], one_level["test"] == first["test"]) == (True, False)
    assert "fingerprint of the images: test changed" in capsys.readouterr().err
    assert printed(workspace, document, IMAGES, image_size=8) != first
    assert printed(workspace, document, IMAGES, class_names=["a", "b", "c"]) != first
    swapped = printed(workspace, document, IMAGES, train="test", test="train")
    assert swapped != first


def test_an_equal_model_and_prompt_set_have_one_fingerprint_wherever_they_are(
    workspace: Workspace, document: dict[str, Any], tiny_model: Path
) -> None:
    first = printed(workspace, document, MODEL)
    copied(tiny_model, workspace.data / "drawer")
    words = (ROOT / "data/prompts/plain.yaml").read_text(encoding="utf-8")
    (workspace.data / "words.yaml").write_text(f"# another remark\n{words}")
    assert printed(workspace, document, MODEL, model="data/drawer", prompts="data/words.yaml") == first


CHANGES: dict[str, Any] = {
    "scheduler": "DDIMScheduler",
    "scheduler_options": {"beta_end": 0.02},
    "steps": 3,
    "guidance": 3.0,
    "prompts": str(ROOT / "data/prompts/class-name.yaml"),
    "negative_prompt": "blurred",
    "render_size": 24,
    "image_size": 24,
    "image_format": "webp",
    "dtype": "bfloat16",
    "batch_size": 5,
    "compile": True,
}


@pytest.mark.parametrize("key", CHANGES)
def test_whatever_decides_an_images_bytes_is_in_the_models_fingerprint(
    workspace: Workspace, document: dict[str, Any], key: str
) -> None:
    first = printed(workspace, document, MODEL)
    changed = printed(workspace, document, MODEL, **{key: CHANGES[key]})
    assert {name for name in first if first[name] != changed[name]} == {
        key,
        *(["quality"] if key == "image_format" else []),
    }


def test_images_that_are_not_here_are_one_error_and_leave_the_fingerprint(
    workspace: Workspace, document: dict[str, Any]
) -> None:
    """Who pulled results without the images is told how to keep them; who has none is not."""
    with pytest.raises(DataError) as caught:
        printed(workspace, document, IMAGES, path="data/absent")
    assert "dvc freeze" not in str(caught.value)
    assert not workspace.fingerprint(IMAGES).exists()
    first = printed(workspace, document, IMAGES)
    with pytest.raises(DataError, match=r"keep the results of what is not here: dvc freeze fingerprint-images$"):
        printed(workspace, document, IMAGES, path="data/absent")
    assert json.loads(workspace.fingerprint(IMAGES).read_text()) == first


def test_a_hub_model_that_the_cache_has_not_is_one_line_offline(workspace: Workspace, document: dict[str, Any]) -> None:
    with pytest.raises(GenerationError) as caught:
        printed(workspace, document, MODEL, model="nobody/nothing")
    assert "\n" not in str(caught.value)
    assert "nobody/nothing" in str(caught.value)


def test_a_damaged_fingerprint_is_written_again(workspace: Workspace, document: dict[str, Any]) -> None:
    first = printed(workspace, document, IMAGES)
    workspace.fingerprint(IMAGES).write_text("[1")
    assert printed(workspace, document, IMAGES) == first


def test_an_experiment_in_a_temporary_folder_finds_what_git_ignores(
    tmp_path: Path,
    document: dict[str, Any],
    small_data: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It has only what git tracks, and DVC sets DVC_ROOT to the project's own folder."""
    main = tmp_path / "main"
    shutil.copytree(small_data, main / "data/mine")
    workspace = Workspace(main / ".dvc/tmp/exps/standalone/tmp123", tmp_path / "cache")
    workspace.root.mkdir(parents=True)
    monkeypatch.setenv("DVC_ROOT", str(main))
    assert set(printed(workspace, document, IMAGES, path="data/mine")) == {"train", "test"}
    assert (workspace.data / "mine").is_symlink()
    assert "data/mine is that of" in capsys.readouterr().err
    printed(workspace, document, IMAGES, path="data/mine")
    shutil.copytree(small_data, tmp_path / "outside")
    elsewhere = Workspace(tmp_path / "elsewhere", tmp_path / "cache")
    for place, path in ((elsewhere, "data/mine"), (workspace, "../outside")):
        with pytest.raises(DataError):
            printed(place, document, IMAGES, path=path)


def test_the_file_that_says_whose_images_are_is_looked_at_and_the_column_too(
    workspace: Workspace, document: dict[str, Any]
) -> None:
    """The label's column stands for a writer or a hospital."""
    drawn = printed(workspace, document, IMAGES)
    document["partition"] |= {"scheme": "column", "column": "label", "clients": None}
    by_column = printed(workspace, document, IMAGES)
    assert {key for key in by_column if key not in drawn} == {"column"}
    document["partition"] |= {"scheme": "assignment", "assignment": "data/owners.csv"}
    with pytest.raises(ParameterError, match="cannot be read"):
        printed(workspace, document, IMAGES)
    found = []
    for text in ("row,client\n0,0\n", "row,client\n0,1\n"):
        (workspace.data / "owners.csv").write_text(text)
        found.append(printed(workspace, document, IMAGES))
    assert {key for key in found[0] if found[0][key] != found[1][key]} == {"assignment"}


def test_equal_words_for_classes_have_one_fingerprint_in_params_yaml_and_in_any_file(
    workspace: Workspace, document: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert printed(workspace, document, WORDS) == printed(workspace, document, WORDS) == {}
    assert capsys.readouterr().err.splitlines() == [
        "fingerprint of the words: written",
        "fingerprint of the words: as before",
    ]
    given = printed(workspace, document, WORDS, class_overrides={"bag": "handbag"})
    assert given == {"bag": "handbag"}
    (workspace.data / "words.csv").write_text("bag,handbag\n")
    assert printed(workspace, document, WORDS, class_overrides="data/words.csv") == given
    assert "fingerprint of the words: as before" in capsys.readouterr().err
    (workspace.data / "words.csv").write_text("bag,satchel\n")
    assert printed(workspace, document, WORDS, class_overrides="data/words.csv") == {"bag": "satchel"}
