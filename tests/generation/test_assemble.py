import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline import paths
from pipeline.artifacts import parquet, shards
from pipeline.errors import PoolError
from pipeline.generation import assemble
from pipeline.generation.plan import Plan, Want
from pipeline.generation.pool import Finished, Pool
from pipeline.generation.recipe import Recipe

NAMES = ("ankle boot", "bag", "coat")


def stock(pool: Pool, plan: Plan) -> None:
    """Put a different one-coloured picture for every image of the plan into the pool."""
    for spec in pool.missing(plan.recipe, plan.distinct()):
        buffer = io.BytesIO()
        Image.new("RGB", (4, 4), (len(spec.class_name), spec.index, 0)).save(buffer, "PNG")
        pool.put(plan.recipe, [Finished(spec, buffer.getvalue())])


def test_a_shard_holds_the_plans_images_in_order(recipe: Recipe, project: Path) -> None:
    from datasets import load_dataset

    plan = Plan(recipe, np.array([[0, 0, 0], [2, 0, 3]]), NAMES, "own")
    with Pool(paths.pool()) as pool:
        stock(pool, plan)
        pool.put(recipe, [Finished(recipe.spec("1", "coat", 3), b"beyond the plan")])
        written = [assemble.write(pool, plan, client) for client in (0, 1)]
    assert [(shard.client, shard.rows, shard.plan) for shard in written] == [
        (0, 0, plan.digest(0)),
        (1, 5, plan.digest(1)),
    ]
    for shard in written:
        shard.check(recipe.digest)
    header = {"client": 1, "recipe": recipe.digest, "plan": plan.digest(1)}
    assert parquet.read_header(paths.shard(1), "generate") == header
    table = load_dataset("parquet", data_files=str(paths.shard(1)), split="train")
    assert list(zip(table["label"], table["index"], strict=True)) == [(0, 0), (0, 1), (2, 0), (2, 1), (2, 2)]
    for row in table:
        spec = recipe.spec("1", row["class_name"], row["index"])
        assert row["image"].getpixel((0, 0)) == (len(spec.class_name), spec.index, 0)
        assert (row["seed"], row["prompt"], row["guidance"]) == (spec.seed, spec.prompt, spec.guidance)
        assert (row["client"], row["lane"], row["recipe"]) == (1, "1", recipe.digest)


def test_common_shards_share_images_and_name_their_own_client(recipe: Recipe, project: Path) -> None:
    plan = Plan(recipe, np.array([[0, 1, 0], [0, 2, 0]]), NAMES, "common")
    with Pool(paths.pool()) as pool:
        stock(pool, plan)
        for client in (0, 1):
            assemble.write(pool, plan, client)
    first, second = (list(shards.read_images(paths.shard(client))) for client in (0, 1))
    assert first == second[:1]
    assert len(second) == 2


def test_retries_are_recorded(recipe: Recipe, project: Path) -> None:
    import pyarrow.parquet as pq

    plan = Plan(recipe, np.array([[1, 0, 0]]), NAMES, "own")
    with Pool(paths.pool()) as pool:
        pool.put(recipe, [Finished(recipe.spec("0", "ankle boot", 0, 2), b"image")])
        assemble.write(pool, plan, 0)
    row = pq.read_table(paths.shard(0)).to_pylist()[0]
    assert (row["retry"], row["seed"]) == (2, recipe.spec("0", "ankle boot", 0, 2).seed)


def test_writing_again_gives_equal_bytes(recipe: Recipe, project: Path) -> None:
    plan = Plan(recipe, np.array([[2, 0, 3]]), NAMES, "own")
    with Pool(paths.pool()) as pool:
        stock(pool, plan)
        first = assemble.write(pool, plan, 0)
        content = paths.shard(0).read_bytes()
        paths.shard(0).unlink()
        assert assemble.write(pool, plan, 0) == first
    assert paths.shard(0).read_bytes() == content


def test_an_image_that_the_pool_lacks_leaves_no_shard(recipe: Recipe, project: Path) -> None:
    plan = Plan(recipe, np.array([[2, 0, 3]]), NAMES, "own")
    with Pool(paths.pool()) as pool:
        stock(pool, Plan(recipe, np.array([[2, 0, 2]]), NAMES, "own"))
        assert pool.held(recipe, Want("0", "coat", 2, 3)) == 2
        with pytest.raises(PoolError, match="image 2 of 'coat' in lane 0"):
            assemble.write(pool, plan, 0)
    assert list(paths.SHARDS.iterdir()) == []
