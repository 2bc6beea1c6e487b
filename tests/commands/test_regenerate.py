from pathlib import Path

import pytest

from pipeline.artifacts import manifest
from pipeline.commands import verify
from pipeline.commands.regenerate import NextStep, Regenerated, regenerate
from pipeline.commands.verify import Verified
from pipeline.errors import ArtifactError
from pipeline.generation.pool import Pool
from pipeline.workspace import Workspace
from tests.commands.stocked import current, lacking, stock, written

CPU = ["cpu"]


def test_a_shard_of_several_files_is_written_again(workspace: Workspace) -> None:
    """One image to a part."""
    lacking(workspace, [2, 3, 0], [0, 0, 1])
    read, plan = current(workspace, shard_megabytes=0)
    with Pool(workspace.pool) as pool:
        stock(pool, plan)
        made = written(workspace, pool, plan, 0)
    files = made.paths(made.shards[0])
    assert len(files) == 5
    files[1].unlink()
    files[2].write_bytes(b"damaged")
    assert regenerate(workspace, read, CPU, 0, fresh=False) == Regenerated(0, 0, 5, tuple(files), None)
    verify.shards(workspace)
    assert manifest.load(workspace.manifest) == made


def test_a_shard_of_other_files_is_adopted_by_the_manifest(workspace: Workspace) -> None:
    """Five files become one of the same images; other clients' lines stay."""
    lacking(workspace, [2, 3, 0], [0, 0, 3])
    read, plan = current(workspace, shard_megabytes=1)
    with Pool(workspace.pool) as pool:
        stock(pool, plan)
        made = written(workspace, pool, plan, 0)
    path = workspace.shards / "client-00000.parquet"
    assert regenerate(workspace, read, CPU, 0, fresh=False) == Regenerated(0, 0, 5, (path,), NextStep.TRAIN)
    assert [file.rows for file in manifest.load(workspace.manifest).shards[0].files] == [5]
    assert manifest.load(workspace.manifest).shards[1] == made.shards[1]
    assert verify.shards(workspace) == Verified(2, 8)


def test_other_parameters_or_deficits_are_refused_before_anything_is_written(workspace: Workspace) -> None:
    lacking(workspace, [1, 0, 0], [0, 2, 0])
    read, plan = current(workspace)
    with Pool(workspace.pool) as pool:
        stock(pool, plan)
        written(workspace, pool, plan, 1)
    before = [path.read_bytes() for path in sorted(workspace.shards.iterdir())]
    for changes, named in (
        ({"steps": 3, "image_format": "jpeg"}, "steps, image_format, quality"),
        ({"guidance": (1.0, 2.0)}, "guidance"),
        ({"compile": True}, "compile"),
    ):
        with pytest.raises(ArtifactError, match=rf"made by another recipe \(differs in {named}\)"):
            regenerate(workspace, current(workspace, **changes)[0], CPU, 0, fresh=False)
    with pytest.raises(ArtifactError, match="no client 2"):
        regenerate(workspace, read, CPU, 2, fresh=False)
    lacking(workspace, [1, 0, 0], [0, 3, 0])
    with pytest.raises(ArtifactError, match="client 1's deficits changed since its shard was made"):
        regenerate(workspace, read, CPU, 1, fresh=False)
    assert [path.read_bytes() for path in sorted(workspace.shards.iterdir())] == before
    assert regenerate(workspace, read, CPU, 0, fresh=False).next_step is None


@pytest.mark.parametrize("now", [1, 3])
def test_another_number_of_clients_is_refused_before_anything_is_written(workspace: Workspace, now: int) -> None:
    """Client 1 is in the manifest; the plan of one client has none, and that of three has it unchanged."""
    lacking(workspace, [1, 0, 0], [0, 2, 0])
    read, plan = current(workspace)
    with Pool(workspace.pool) as pool:
        stock(pool, plan)
        made = written(workspace, pool, plan, 1)
    lacking(workspace, *[[1, 0, 0], [0, 2, 0], [0, 0, 1]][:now])
    with pytest.raises(ArtifactError, match=rf"deficits are of {now} clients, the shards of 2: .*: run: dvc repro gen"):
        regenerate(workspace, read, CPU, 1, fresh=False)
    assert manifest.load(workspace.manifest) == made


def test_the_next_step_is_asked_of_dvc_in_the_workspace(workspace: Workspace, tmp_path: Path) -> None:
    """A DVC folder elsewhere, whose stage never ran: DVC says there, and only there, that an input changed too."""
    second = Workspace(tmp_path / "second", tmp_path / "second cache")
    (second.root / ".dvc").mkdir(parents=True)
    (second.root / ".dvc" / "config").write_text("[core]\n    no_scm = true\n    analytics = false\n")
    (second.root / "dvc.yaml").write_text("stages:\n  generate:\n    cmd: 'true'\n    deps: [params.yaml]\n")
    second.params.write_text(workspace.params.read_text())
    lacking(second, [2, 0, 0])
    read, plan = current(second)
    with Pool(second.pool) as pool:
        stock(pool, plan)
        written(second, pool, plan, 0)
    done = regenerate(second, read, CPU, 0, fresh=False)
    assert done == Regenerated(0, 0, 2, (second.shards / "client-00000.parquet",), NextStep.REPRO)
    assert verify.shards(second) == Verified(1, 2)
    assert not workspace.data.exists()
