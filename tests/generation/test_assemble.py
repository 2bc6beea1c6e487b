import os
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.artifacts import parquet
from pipeline.artifacts.gate import Gate, Score
from pipeline.artifacts.manifest import Manifest, Refused, file_name
from pipeline.artifacts.shard_reader import Header
from pipeline.errors import PoolError
from pipeline.generation import assemble
from pipeline.generation.plan import Plan, Wanted
from pipeline.generation.pool import Pool, StoredImage, scores
from pipeline.generation.recipe import Recipe
from pipeline.workspace import Workspace
from tests.synthetic import plain, read_images

NAMES = ("ankle boot", "bag", "coat")


def planned(recipe: Recipe, missing: list[list[int]], sharing: str = "own") -> Plan:
    return Plan(recipe, np.array(missing), NAMES, NAMES, sharing)


def shard_file(client: int, part: int = 0) -> Path:
    return Workspace().shards / file_name(client, part)


def stock(pool: Pool, plan: Plan) -> None:
    """Put a different one-coloured picture for every image of the plan into the pool."""
    for spec in pool.missing(plan.recipe, plan.wanted()):
        image = plain((len(spec.class_name), spec.index, 0))
        pool.put(plan.recipe, [StoredImage(spec, image, "faint" if spec.index == 1 else "")])


def test_a_shard_holds_the_plans_images_in_order(recipe: Recipe, project: Path) -> None:
    from datasets import load_dataset

    plan = planned(recipe, [[0, 0, 0], [2, 0, 3]])
    with Pool(Workspace().pool) as pool:
        stock(pool, plan)
        pool.put(recipe, [StoredImage(recipe.spec("1", "coat", 3), b"beyond the plan")])
        written = [assemble.write(pool, plan, client, Workspace().shards, 1) for client in (0, 1)]
    assert [(shard.client, shard.rows, shard.plan) for shard in written] == [
        (0, 0, plan.digest(0)),
        (1, 5, plan.digest(1)),
    ]
    manifest = Manifest(recipe.digest, recipe.as_dict(), "own", NAMES, tuple(written), Workspace().manifest)
    for shard in written:
        manifest.check(shard)
    header = {"client": 1, "recipe": recipe.digest, "plan": plan.digest(1)}
    assert parquet.read_header(shard_file(1), "generate", Header).model_dump() == header
    table = load_dataset("parquet", data_files=str(shard_file(1)), split="train")
    assert list(zip(table["label"], table["index"], strict=True)) == [(0, 0), (0, 1), (2, 0), (2, 1), (2, 2)]
    for row in table:
        spec = recipe.spec("1", row["class_name"], row["index"])
        assert row["image"].getpixel((0, 0)) == (len(spec.class_name), spec.index, 0)
        assert (row["seed"], row["prompt"], row["guidance"]) == (spec.seed, spec.prompt, spec.guidance)
        assert (row["client"], row["lane"], row["recipe"]) == (1, "1", recipe.digest)
        assert row["flags"] == ("faint" if row["index"] == 1 else "")


def test_common_shards_share_images_and_name_their_own_client(recipe: Recipe, project: Path) -> None:
    plan = planned(recipe, [[0, 1, 0], [0, 2, 0]], "common")
    with Pool(Workspace().pool) as pool:
        stock(pool, plan)
        for client in (0, 1):
            assemble.write(pool, plan, client, Workspace().shards, 1)
    first, second = (list(read_images([shard_file(client)])) for client in (0, 1))
    assert first == second[:1]
    assert len(second) == 2


def test_a_class_that_prompts_call_otherwise_keeps_its_own_name_in_the_schema(recipe: Recipe, project: Path) -> None:
    from datasets import load_dataset

    plan = Plan(recipe, np.array([[0, 2]]), ("boot", "crane"), ("boot", "crane bird"), "own")
    with Pool(Workspace().pool) as pool:
        stock(pool, plan)
        assert pool.lacks(recipe, [Wanted("0", "crane bird", 1, range(2))]) == 0
        assemble.write(pool, plan, 0, Workspace().shards, 1)
    table = load_dataset("parquet", data_files=str(shard_file(0)), split="train")
    assert table.features["label"].names == ["boot", "crane"]
    assert table["label"] == [1, 1]
    assert table["class_name"] == ["crane bird"] * 2
    assert table["prompt"] == ["a photo of a crane bird"] * 2


def test_retries_are_recorded(recipe: Recipe, project: Path) -> None:
    plan = planned(recipe, [[1, 0, 0]])
    with Pool(Workspace().pool) as pool:
        pool.put(recipe, [StoredImage(recipe.spec("0", "ankle boot", 0, 2), plain((9, 9, 9)))])
        assemble.write(pool, plan, 0, Workspace().shards, 1)
    row = pq.read_table(shard_file(0)).to_pylist()[0]
    assert (row["retry"], row["seed"]) == (2, recipe.spec("0", "ankle boot", 0, 2).seed)


def test_writing_again_gives_equal_bytes(recipe: Recipe, project: Path) -> None:
    plan = planned(recipe, [[2, 0, 3]])
    with Pool(Workspace().pool) as pool:
        stock(pool, plan)
        first = assemble.write(pool, plan, 0, Workspace().shards, 1)
        content = shard_file(0).read_bytes()
        shard_file(0).unlink()
        assert assemble.write(pool, plan, 0, Workspace().shards, 1) == first
    assert shard_file(0).read_bytes() == content


def test_an_image_that_the_pool_lacks_leaves_no_shard(recipe: Recipe, project: Path) -> None:
    plan = planned(recipe, [[2, 0, 3]])
    with Pool(Workspace().pool) as pool:
        stock(pool, planned(recipe, [[2, 0, 2]]))
        assert pool.lacks(recipe, [Wanted("0", "coat", 2, range(3))]) == 1
        with pytest.raises(PoolError, match="image 2 of 'coat' in lane 0"):
            assemble.write(pool, plan, 0, Workspace().shards, 1)
    assert list(Workspace().shards.glob("*")) == []


def names() -> list[str]:
    return sorted(path.name for path in Workspace().shards.iterdir())


def test_a_shard_of_several_files_gets_its_parts_and_loses_those_of_before(recipe: Recipe, project: Path) -> None:
    """No more than 0 MB: a part for each image."""
    big, small = planned(recipe, [[2, 0, 2], [0, 5, 0]]), planned(recipe, [[2, 0, 0], [0, 5, 0]])
    folder = Workspace().shards
    with Pool(Workspace().pool) as pool:
        stock(pool, big)
        shard, second = (assemble.write(pool, big, client, folder, 0) for client in (0, 1))
        manifest = Manifest(recipe.digest, recipe.as_dict(), "own", NAMES, (shard, second), Workspace().manifest)
        content = [path.read_bytes() for path in manifest.paths(shard)]
        other = [(path, path.read_bytes()) for path in manifest.paths(second)]
        assert [path.name for path in manifest.paths(shard)] == [
            "client-00000.parquet",
            "client-00000.part-001.parquet",
            "client-00000.part-002.parquet",
            "client-00000.part-003.parquet",
        ]
        assert [file.rows for file in shard.files] == [1, 1, 1, 1]
        manifest.check(shard)
        labels = [label for label, _ in read_images(manifest.paths(shard))]
        assert labels == [0, 0, 2, 2]
        less = assemble.write(pool, small, 0, folder, 0)
        assert [file.rows for file in less.files] == [1, 1]
        assert names() == sorted(path.name for path in [*manifest.paths(less), *(path for path, _ in other)])
        assert [(path, path.read_bytes()) for path, _ in other] == other
        assert [file.rows for file in assemble.write(pool, small, 0, folder, 1).files] == [2]
        assert names() == ["client-00000.parquet", *sorted(path.name for path, _ in other)]
        assert assemble.write(pool, big, 0, folder, 0) == shard
    assert [path.read_bytes() for path in manifest.paths(shard)] == content


def test_parts_of_before_are_removed_also_after_a_kill_among_them(
    recipe: Recipe, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first run ends after one of three parts is removed; the next one looks no further than the first gap."""
    big, small = planned(recipe, [[4, 0, 0]]), planned(recipe, [[1, 0, 0]])
    remove, removed = Path.unlink, list[Path]()

    def interrupted(path: Path, missing_ok: bool = False) -> None:
        if path.suffix == ".parquet":
            if removed:
                raise KeyboardInterrupt
            removed.append(path)
        remove(path, missing_ok)

    with Pool(Workspace().pool) as pool:
        stock(pool, big)
        assemble.write(pool, big, 0, Workspace().shards, 0)
        with monkeypatch.context() as patched:
            patched.setattr(Path, "unlink", interrupted)
            with pytest.raises(KeyboardInterrupt):
                assemble.write(pool, small, 0, Workspace().shards, 0)
        assert len(names()) == 3
        assemble.write(pool, small, 0, Workspace().shards, 0)
    assert names() == ["client-00000.parquet"]


def test_the_folder_is_not_listed_for_each_client(
    recipe: Recipe, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Listing it takes the square of the number of clients."""

    def refuse(*_: object) -> None:
        raise AssertionError

    plan = planned(recipe, [[3, 0, 0]])
    with Pool(Workspace().pool) as pool:
        stock(pool, plan)
        with monkeypatch.context() as patched:
            for name in ("scandir", "listdir"):
                patched.setattr(os, name, refuse)
            for megabytes in (0, 1):
                assemble.write(pool, plan, 0, Workspace().shards, megabytes)
    assert names() == ["client-00000.parquet"]


REFUSED = st.dictionaries(st.tuples(st.just("1"), st.sampled_from(NAMES)), st.sets(st.integers(0, 6)))


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(0, 4), min_size=3, max_size=3), REFUSED)
def test_a_shard_holds_the_images_that_are_not_refused(
    recipe: Recipe, project: Path, counts: list[int], refused: dict[tuple[str, str], set[int]]
) -> None:
    """Compared with a set model; the pool also holds the refused images and those beyond the wanted ones."""
    plan = replace(planned(recipe, [[0, 0, 0], counts]), refused=refused)
    with tempfile.TemporaryDirectory() as folder, Pool(Path(folder) / "pool.sqlite") as pool:
        for name in NAMES:
            pool.put(recipe, [StoredImage(recipe.spec("1", name, i), plain((len(name), i, 0))) for i in range(12)])
        assert pool.lacks(recipe, plan.wanted()) == 0
        shard = assemble.write(pool, plan, 1, Workspace().shards, 1)
    expected = [
        (label, plain((len(name), index, 0)))
        for label, name in enumerate(NAMES)
        for index in sorted(set(range(12)) - refused.get(("1", name), set()))[: counts[label]]
    ]
    assert list(read_images([shard_file(1)])) == expected
    assert (shard.rows, shard.counts) == (sum(counts), tuple(counts))


def test_an_image_without_a_score_is_named(recipe: Recipe, project: Path) -> None:
    """The judge saw the bags 0 and 2; 1, which comes between them, has only a score of another judge."""
    gate = Gate("judge", "a judge", 0.5)
    plan = replace(planned(recipe, [[0, 3, 0]]), gate=gate)
    with Pool(Workspace().pool) as pool:
        stock(pool, plan)
        for judge, indices in (("judge", (0, 2)), ("other", (1,))):
            given_scores = [(recipe.spec("0", "bag", index), Score(1, 1, 0.9)) for index in indices]
            scores.put(pool, recipe, judge, given_scores)
        message = "image 1 of 'bag' in lane 0 has no score of the judge a judge: .*: run: dvc repro generate"
        with pytest.raises(PoolError, match=message):
            assemble.write(pool, plan, 0, Workspace().shards, 1)
        assert not list(Workspace().shards.glob("*.parquet"))
        scores.put(pool, recipe, "judge", [(recipe.spec("0", "bag", 1), Score(1, 1, 0.8))])
        assert assemble.write(pool, plan, 0, Workspace().shards, 1).counts == (0, 3, 0)
    table = pq.read_table(shard_file(0))
    assert table.column_names[-2:] == ["judged", "probability"]
    assert table["probability"].to_pylist() == [0.9, 0.8, 0.9]


def test_parts_of_refused_images_that_an_earlier_run_left_are_deleted(recipe: Recipe, project: Path) -> None:
    """Of four bags wanted, the first two are refused, in files of one image each; then a milder gate refuses none."""
    strict, mild = Gate("judge", "a judge", 0.5), Gate("judge", "a judge", 0.1)
    plan = replace(planned(recipe, [[0, 4, 0]]), gate=strict, refused={("0", "bag"): [0, 1]})
    with Pool(Workspace().pool) as pool:
        stock(pool, plan)
        stock(pool, planned(recipe, [[0, 6, 0]]))
        given_scores = [(recipe.spec("0", "bag", i), Score(1, 1, 0.2 if i < 2 else 0.9)) for i in range(6)]
        scores.put(pool, recipe, "judge", given_scores)
        line = assemble.write(pool, plan, 0, Workspace().shards, 0)
        assert line.refused is not None
        assert (line.refused.drawn, line.refused.counts) == ((0, 2, 0), (0, 2, 0))
        names = [file.name for file in line.refused.files]
        assert names == [file_name(0), file_name(0, 1)]
        assert sorted(path.name for path in (Workspace().shards / "refused").iterdir()) == sorted(names)
        mildly = replace(planned(recipe, [[0, 4, 0]]), gate=mild)
        assert assemble.write(pool, mildly, 0, Workspace().shards, 0).refused == Refused((0,) * 3, (0,) * 3, ())
    assert not list((Workspace().shards / "refused").iterdir())
