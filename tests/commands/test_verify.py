import pyarrow.parquet as pq
import pytest

from pipeline.artifacts.manifest import file_name
from pipeline.commands import verify
from pipeline.commands.verify import Rerendered, Verified
from pipeline.errors import ArtifactError
from pipeline.generation import request
from pipeline.generation.plan import Wanted
from pipeline.generation.pool import Pool, StoredImage
from pipeline.generation.render import render_missing
from pipeline.workspace import Workspace
from tests.commands.stocked import current, lacking, stock, written

CPU = ["cpu"]


def test_a_missing_part_and_a_stray_one_are_named(workspace: Workspace) -> None:
    lacking(workspace, [3, 0, 2], [0, 0, 1])
    _, plan = current(workspace)
    with Pool(workspace.pool) as pool:
        stock(pool, plan)
        written(workspace, pool, plan, 0)
    assert verify.shards(workspace) == Verified(2, 6)
    stray, second, third = (workspace.shards / file_name(*which) for which in ((1, 1), (0, 1), (0, 2)))
    stray.write_bytes(second.read_bytes())
    with pytest.raises(ArtifactError, match=f"files that the manifest does not name: {stray}: delete them"):
        verify.shards(workspace)
    stray.unlink()
    content = third.read_bytes()
    third.unlink()
    with pytest.raises(ArtifactError, match=r"1 of 2 shards are not .*client-00000.part-002.parquet: shard missing"):
        verify.shards(workspace)
    third.write_bytes(content[:-1] + b"x")
    with pytest.raises(ArtifactError, match=r"1 of 2 shards are not .*client-00000.part-002.parquet: shard differs"):
        verify.shards(workspace)
    third.write_bytes(content)
    verify.shards(workspace)


def test_verify_renders_images_of_all_files_again(workspace: Workspace) -> None:
    """Seven images, each in a part of its own; the one in the last part was replaced by another's picture."""
    lacking(workspace, [2, 1, 0], [0, 0, 4])
    read, _ = current(workspace)
    asked = request.current(workspace, read, "float32")
    plan = asked.plan
    with Pool(workspace.pool) as pool:
        assert render_missing(pool, asked, CPU) == 7
        made = written(workspace, pool, plan, 0)
        assert [file.rows for shard in made.shards for file in shard.files] == [1] * 7
        assert verify.rerender(workspace, read, CPU, 7, 0) == Rerendered(7)
        for seed in range(4):
            assert verify.rerender(workspace, read, CPU, 1, seed) == Rerendered(1)
        first, *_, last = pool.fetch(plan.recipe, Wanted("1", "coat", 2, range(4)))
        pool.put(plan.recipe, [StoredImage(last.spec, first.image)])
        written(workspace, pool, plan, 0)
    assert len(pq.read_table(workspace.shards / file_name(1, 3))) == 1
    with pytest.raises(ArtifactError, match="1 of 7 images are different now"):
        verify.rerender(workspace, read, CPU, 100, 0)


def test_shards_of_another_recipe_are_not_rendered(workspace: Workspace) -> None:
    lacking(workspace, [1, 0, 0])
    _, plan = current(workspace)
    with Pool(workspace.pool) as pool:
        stock(pool, plan)
        written(workspace, pool, plan, 1)
    changed, other = current(workspace, steps=3)
    message = (
        rf"^the shards were made by another recipe \(differs in steps\): data/manifest\.json, recipe "
        rf"{plan.recipe.digest}, now {other.recipe.digest}: run: dvc repro generate$"
    )
    with pytest.raises(ArtifactError, match=message):
        verify.rerender(workspace, changed, CPU, 1, 0)
