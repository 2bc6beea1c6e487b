import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow.parquet as pq
import pytest

from pipeline import params, paths
from pipeline.artifacts import deficits as deficits_artifact
from pipeline.artifacts import manifest
from pipeline.artifacts.manifest import Manifest
from pipeline.errors import ArtifactError
from pipeline.generation import assemble, source
from pipeline.params import Params
from pipeline.stages import deficits, generate, partition

CPU = ["cpu"]
ROOT = Path(__file__).parents[2]


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
    for name in ("client-00009.parquet", "client-00001.part-001.parquet", ".client-00002.parquet.x1y2"):
        (paths.SHARDS / name).write_bytes(b"of an earlier run")
    (paths.SHARDS / "client-00008.parquet").symlink_to("an object that DVC's cache lost")
    generate.run(loaded, CPU)
    assert sorted(paths.SHARDS.iterdir()) == sorted(path for shard in manifest.load().shards for path in shard.paths)


@pytest.mark.parametrize("name", [".ipynb_checkpoints/", "client-00001/", "notes.txt"])
def test_what_is_no_shard_is_named_before_anything_is_rendered(loaded: Params, name: str) -> None:
    paths.SHARDS.mkdir(parents=True)
    foreign = paths.SHARDS / name
    if name.endswith("/"):
        foreign.mkdir()
    else:
        foreign.touch()
    with pytest.raises(ArtifactError, match=rf"^not a shard: {foreign}: move it elsewhere: [^\n]*$"):
        generate.run(loaded, CPU)
    assert list(paths.SHARDS.iterdir()) == [foreign]
    assert not Workspace().pool.exists()
    assert not paths.MANIFEST.exists()


def test_what_appears_among_the_shards_meanwhile_is_left_alone(loaded: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    """The manifest is written all the same."""

    def write(*given: Any) -> Any:
        (paths.SHARDS / ".ipynb_checkpoints").mkdir(parents=True, exist_ok=True)
        return assemble.write(*given)

    monkeypatch.setattr(generate, "assemble", SimpleNamespace(write=write))
    generate.run(loaded, CPU)
    assert len(manifest.load().shards) == 4
    assert (paths.SHARDS / ".ipynb_checkpoints").is_dir()


def test_no_other_run_may_write_until_the_manifest_is_there(loaded: Params) -> None:
    """Another process that asks for the right to write before the manifest is saved gets it when it is there."""
    program = (
        "from pipeline import paths\n"
        "from pipeline.generation.pool import Pool\n"
        "with Pool(Workspace().pool) as pool, pool.writing():\n"
        "    print(paths.MANIFEST.exists())\n"
    )
    started: list[subprocess.Popen[str]] = []
    save = Manifest.save

    def late(known: Manifest, path: Path = paths.MANIFEST) -> None:
        command = [sys.executable, "-c", program]
        other = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
        started.append(other)
        assert other.stderr is not None
        assert "waiting for another run" in other.stderr.readline()
        save(known, path)

    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Manifest, "save", late)
        generate.run(loaded, CPU)
    assert started[0].communicate(timeout=60)[0] == "True\n"


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
