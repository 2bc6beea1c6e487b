from typing import Any

import numpy as np
import pytest

from pipeline import params
from pipeline.artifacts import deficits as artifact
from pipeline.artifacts import partition as partition_artifact
from pipeline.clients.deficits import RULES
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
    assert np.array_equal(made.want, RULES[rule](have, loaded.deficits, np.random.default_rng(1)))
    assert made.missing.sum() == min(30, (made.want - have).sum())
    assert (made.missing <= made.want - have).all()
    assert made.class_names == ("ankle boot", "bag", "coat")
