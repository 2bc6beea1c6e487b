import numpy as np
import pytest

from pipeline import params
from pipeline.artifacts import partition as artifact
from pipeline.data import images
from pipeline.stages import partition
from pipeline.workspace import Workspace


def test_the_stage_writes_partition_and_picture(workspace: Workspace) -> None:
    loaded = params.load(workspace.params)
    partition.run(workspace, loaded)
    split = artifact.load(workspace.partition)
    real = images.load(loaded.data, "train")
    assert sorted(split.rows.tolist()) == list(range(60))
    assert (np.lexsort((split.rows, split.clients)) == np.arange(60)).all()
    assert np.array_equal(split.labels, real.labels[split.rows])
    assert (split.counts() > 0).sum(axis=1).tolist() == [2] * 4
    assert (split.class_names, split.client_count, split.image_size) == (real.class_names, 4, 16)
    assert split.fingerprint == real.fingerprint
    assert workspace.partition_picture.read_bytes().startswith(b"\x89PNG")
    first = workspace.partition.read_bytes()
    partition.run(workspace, loaded)
    assert workspace.partition.read_bytes() == first
    for root, own, same in ((7, 8, False), (8, 7, True), (8, None, False)):
        section = loaded.partition.model_copy(update={"seed": own})
        partition.run(workspace, loaded.model_copy(update={"seed": root, "partition": section}))
        assert (workspace.partition.read_bytes() == first) == same


def test_the_stage_shows_what_prompts_call_the_classes(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    loaded = params.load(workspace.params)
    partition.run(workspace, loaded)
    assert "prompts say" not in capsys.readouterr().err
    (workspace.root / "words.csv").write_text("bag,handbag\n")
    changed = loaded.generate.model_copy(update={"class_overrides": "words.csv"})
    partition.run(workspace, loaded.model_copy(update={"generate": changed}))
    assert "partition: prompts say 'handbag' for 'bag'\n" in capsys.readouterr().err
