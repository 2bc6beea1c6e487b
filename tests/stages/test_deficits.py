from typing import Any

import numpy as np
import pytest

from pipeline import params
from pipeline.artifacts import deficits as artifact
from pipeline.artifacts import partition as partition_artifact
from pipeline.clients.deficits import RULES
from pipeline.errors import ParameterError
from pipeline.stages import deficits, partition
from pipeline.workspace import Workspace


@pytest.mark.parametrize("rule", sorted(RULES))
def test_the_stage(
    workspace: Workspace, document: dict[str, Any], rule: str, capsys: pytest.CaptureFixture[str]
) -> None:
    document["deficits"] = {"rule": rule, "images_per_class": 12, "max_total": 30}
    loaded = params.Params.model_validate(document)
    partition.run(workspace, loaded)
    deficits.run(workspace, loaded)
    made = artifact.load(workspace.deficits)
    have = partition_artifact.load(workspace.partition).counts()
    assert np.array_equal(made.have, have)
    assert np.array_equal(made.want, RULES[rule](have, loaded.deficits, np.random.default_rng(1)))
    assert made.missing.sum() == min(30, made.lacking.sum())
    assert (made.missing <= made.lacking).all()
    assert (made.surplus <= np.maximum(have - made.want, 0)).all()
    if rule == "same-total":
        assert made.surplus.any()
        assert made.filled.sum(axis=1).tolist() == have.sum(axis=1).tolist()
        assert f"{made.surplus.sum()} real images of these clients are left out" in capsys.readouterr().err
    else:
        assert not made.surplus.any()
    assert made.class_names == ("ankle boot", "bag", "coat")


def test_what_every_limit_cuts_is_said(
    workspace: Workspace, document: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    document["deficits"] = {"rule": "own-max", "max_total": 7}
    loaded = params.Params.model_validate(document)
    partition.run(workspace, loaded)
    capsys.readouterr()
    deficits.run(workspace, loaded)
    lacking = (artifact.load(workspace.deficits).want - artifact.load(workspace.deficits).have).sum()
    said = capsys.readouterr().err
    assert f"own-max, ratio 1, max_total 7: the rule asks for {lacking} images, max_total cuts {lacking - 7}" in said
    assert "deficits: 7 images to make for " in said


def test_more_images_than_can_be_made_are_refused(workspace: Workspace, document: dict[str, Any]) -> None:
    """12 cells of 10^8 images each; nothing is written."""
    document["deficits"] = {"rule": "fixed", "images_per_class": 10**8}
    loaded = params.Params.model_validate(document)
    partition.run(workspace, loaded)
    with pytest.raises(
        ParameterError, match=r"1,199,999,940 images to make, at most 100,000,000: params.yaml, deficits"
    ):
        deficits.run(workspace, loaded)
    assert not workspace.deficits.exists()


def test_words_are_kept_and_numbers_refused_where_images_of_them_are_asked_for(
    workspace: Workspace, document: dict[str, Any]
) -> None:
    """Of the third class only client 0 lacks images."""
    names = ("apple_pie", "n02690373", "7")
    rows, clients, labels = np.arange(3), np.array([0, 0, 1], np.int32), np.array([0, 1, 2], np.int32)
    array, level = partition_artifact.Source("0" * 24, 3), (0.5, 0.5, 0.5)
    split = partition_artifact.Partition(rows, clients, labels, names, 2, 16, "abc", array, level, level)
    split.save(workspace.partition)
    document["deficits"] = {"rule": "fixed", "images_per_class": 1}
    with pytest.raises(ParameterError, match="a model cannot know what to draw for '7': "):
        deficits.run(workspace, params.Params.model_validate(document))
    assert not workspace.deficits.exists()
    document["generate"]["class_overrides"] = {7: "the digit seven"}
    deficits.run(workspace, params.Params.model_validate(document))
    made = artifact.load(workspace.deficits)
    assert (made.class_names, made.words) == (names, ("apple pie", "airliner", "the digit seven"))
    document["generate"]["class_overrides"] = {}
    document["deficits"]["ratio"] = 0.0
    deficits.run(workspace, params.Params.model_validate(document))
    assert artifact.load(workspace.deficits).words == ("apple pie", "airliner", "7")
