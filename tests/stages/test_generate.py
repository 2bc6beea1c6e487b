from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pipeline import params, paths
from pipeline.artifacts import deficits as deficits_artifact
from pipeline.artifacts import manifest
from pipeline.generation import source
from pipeline.params import Params
from pipeline.stages import deficits, generate, partition

CPU = ["cpu"]


@pytest.fixture
def loaded(project: Path) -> Params:
    """The small project's parameters, with the stages before this one done."""
    small = params.load()
    partition.run(small)
    deficits.run(small)
    return small


def changed(small: Params, **values: object) -> Params:
    document = small.model_dump()
    document["generate"] |= values
    return Params.model_validate(document)


def rows() -> list[dict[str, Any]]:
    known = manifest.load()
    return [row for shard in known.shards for path in shard.paths for row in pq.read_table(path).to_pylist()]


def test_every_client_gets_the_images_that_it_lacks(loaded: Params, capsys: pytest.CaptureFixture[str]) -> None:
    generate.run(loaded, CPU)
    known, lacking = manifest.load(), deficits_artifact.load()
    found = [[0] * 3 for _ in range(4)]
    for row in rows():
        found[row["client"]][row["label"]] += 1
    assert found == lacking.missing.tolist()
    assert [shard.rows for shard in known.shards] == lacking.missing.sum(axis=1).tolist()
    recipe = source.resolve(loaded.generate, loaded.seed, 16, CPU).recipe
    assert (known.recipe, known.recipe_text) == (recipe.digest, recipe.as_dict())
    total = lacking.missing.sum()
    assert capsys.readouterr().err.endswith(f"generate: {total} images rendered, {total} in 4 shards\n")


def test_files_that_no_client_has_any_more_are_deleted(loaded: Params) -> None:
    paths.SHARDS.mkdir(parents=True)
    for name in ("client-00009.parquet", "client-00001.part-001.parquet"):
        (paths.SHARDS / name).write_bytes(b"of an earlier run")
    generate.run(loaded, CPU)
    assert sorted(paths.SHARDS.iterdir()) == sorted(path for shard in manifest.load().shards for path in shard.paths)


def test_an_override_draws_one_class_anew_under_another_name_and_keeps_its_label(
    loaded: Params, capsys: pytest.CaptureFixture[str]
) -> None:
    generate.run(loaded, CPU)
    before, digest = rows(), manifest.load().recipe
    capsys.readouterr()
    generate.run(changed(loaded, class_overrides={"bag": "handbag"}), CPU)
    after = rows()
    bags = int(deficits_artifact.load().missing[:, 1].sum())
    assert bags > 0
    assert f"generate: {bags} images rendered" in capsys.readouterr().err
    assert [row for row in after if row["label"] != 1] == [row for row in before if row["label"] != 1]
    assert manifest.load().class_names == ("ankle boot", "bag", "coat")
    assert manifest.load().recipe == digest
    renamed = [row for row in after if row["label"] == 1]
    assert {(row["class_name"], row["prompt"]) for row in renamed} == {("handbag", "a photo of a handbag")}
    assert not {row["seed"] for row in renamed} & {row["seed"] for row in before}

    capsys.readouterr()
    generate.run(loaded, CPU)
    assert "generate: 0 images rendered" in capsys.readouterr().err
    assert rows() == before


def test_prompts_and_scales_of_params_yaml_reach_the_images(project: Path, loaded: Params) -> None:
    (project / "own.yaml").write_text("templates: ['{kind} of {class}']\nkind: [photo, sketch]\n")
    generate.run(changed(loaded, prompts="own.yaml", guidance={"low": 1, "high": 2, "step": 0.5}), CPU)
    made = rows()
    names = manifest.load().class_names
    assert {row["prompt"] for row in made} == {f"{kind} of {name}" for kind in ("photo", "sketch") for name in names}
    assert {row["guidance"] for row in made} == {1.0, 1.5, 2.0}
