"""Two settings side by side: rendered through the pool, measured alike, and nothing of the experiment changed."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

from pipeline import params
from pipeline.cli.evaluate import compared_text, report_text
from pipeline.commands import compare
from pipeline.commands.compare import setting
from pipeline.errors import ParameterError
from pipeline.stages import partition
from pipeline.workspace import Workspace

GUIDANCES = ("generate.guidance=1", "generate.guidance=7.5 generate.steps=1")


def files(workspace: Workspace) -> set[str]:
    return {path.relative_to(workspace.root).as_posix() for path in workspace.root.rglob("*") if path.is_file()}


def test_both_sides_are_rendered_and_measured_against_the_same_real_images(
    workspace: Workspace, capfd: pytest.CaptureFixture[str]
) -> None:
    """Three classes of six images on each side; a second time the pool has them all."""
    read = params.load(workspace.params)
    partition.run(workspace, read)
    before = files(workspace)
    found = compare.compare(workspace, read, ["cpu"], GUIDANCES, 6)
    assert files(workspace) - before == {"data/compare.png", "data/compare.json"}
    assert "18/18 images" in capfd.readouterr().err
    (first, a), (second, b) = found.sides
    assert (first, second) == GUIDANCES
    assert a.recipe != b.recipe
    assert (a.judge, a.whole.usefulness.real) == (b.judge, b.whole.usefulness.real)
    assert a.whole.images == b.whole.images == 18
    written = json.loads(found.numbers.read_text())
    assert [side["setting"] for side in written] == list(GUIDANCES)
    assert [side["whole"]["agreement"] for side in written] == [a.whole.agreement, b.whole.agreement]
    with Image.open(found.sheet) as sheet:
        # three rows of 64 pixels below the heads, three groups of six images right of the names
        assert sheet.size == (110 + 3 * 6 * 66 + 2 * 12, 18 + 3 * 66)
    again = compare.compare(workspace, read, ["cpu"], GUIDANCES, 6)
    assert again == found
    assert "images/s  cpu" not in capfd.readouterr().err
    shown = compared_text(found.sides, "sheet.png", "numbers.json").split("\n")
    assert [line.split()[:2] for line in shown[:3]] == [["side", "class"], ["A", "ankle"], ["B", "ankle"]]
    for what, model in (("judge", a.judge), ("extractor", a.extractor)):
        assert {f"{side}: {what} {model.name}, digest {model.digest}" for side in "AB"} <= set(shown)
    assert not any(line.startswith("warning") for line in shown)
    other = replace(b, judge=replace(b.judge, digest="0" * 64))
    warned = compared_text(((first, a), (second, other)), "sheet.png", "numbers.json")
    assert "warning: the sides have different judges" in warned
    assert "different extractors" not in warned
    assert shown[-1] == "The numbers: numbers.json"
    assert report_text(a).split("\n")[-1] == a.sentence


def test_a_setting_is_a_folder_or_changed_values_of_generate(
    workspace: Workspace, tmp_path: Path, document: dict[str, Any]
) -> None:
    read = params.load(workspace.params)
    changed = setting(workspace, read, "generate.guidance=[1,3] generate.negative_prompt='no text'").params
    assert changed.generate.guidance == (1, 3)
    assert changed.generate.negative_prompt == "no text"
    assert changed.model_copy(update={"generate": read.generate}) == read
    other = tmp_path / "other"
    other.mkdir()
    document["generate"]["steps"] = 7
    (other / "params.yaml").write_text(yaml.safe_dump(document))
    assert setting(workspace, read, str(other)).params.generate.steps == 7
    assert setting(workspace, read, str(other)).workspace.cache == workspace.cache


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("guidance=3", "'guidance=3' is no setting of generate"),
        ("train.rounds=3", "no setting of generate"),
        ("no-such-folder", "no setting of generate.*or a folder"),
        ("generate.guidanc=3", r"unknown parameter.*--compare.*did you mean 'guidance'"),
        ("generate.steps=many", r"bad value.*generate\.steps"),
        ("generate.prompts='open", "quote"),
    ],
)
def test_anything_else_is_one_clear_error(workspace: Workspace, text: str, error: str) -> None:
    with pytest.raises(ParameterError, match=error):
        setting(workspace, params.load(workspace.params), text)


def test_too_few_images_are_refused_before_anything_is_rendered(workspace: Workspace) -> None:
    with pytest.raises(ParameterError, match=r"--images 5.*at least 6"):
        compare.compare(workspace, params.load(workspace.params), ["cpu"], GUIDANCES, 5)
    assert not workspace.pool.exists()
