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
def test_the_stage(workspace: Workspace, document: dict[str, Any], rule: str) -> None:
    document["deficits"] = {"rule": rule, "images_per_class": 12, "max_total": 30}
    loaded = params.Params.model_validate(document)
    partition.run(workspace, loaded)
    deficits.run(workspace, loaded)
    made = artifact.load(workspace.deficits)
    have = partition_artifact.load(workspace.partition).counts()
    assert np.array_equal(made.have, have)
    assert np.array_equal(made.want, RULES[rule](have, loaded.deficits))
    assert made.missing.sum() == min(30, (made.want - have).sum())
    assert (made.missing <= made.want - have).all()
    assert made.class_names == ("ankle boot", "bag", "coat")


def test_words_are_kept_and_numbers_refused_where_images_of_them_are_asked_for(
    workspace: Workspace, document: dict[str, Any]
) -> None:
    """Client 0 lacks images of the third class only."""
    names = ("apple_pie", "n02690373", "7")
    rows, zeros = np.arange(3), np.zeros(3, np.int32)
    labels = np.array([0, 1, 1], np.int32)
    partition_artifact.Partition(rows, zeros, labels, names, 1, 16, "abc").save(workspace.partition)
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
