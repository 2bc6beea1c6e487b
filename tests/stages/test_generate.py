import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pyarrow.parquet as pq
import pytest

from pipeline import params
from pipeline.artifacts import deficits as deficits_artifact
from pipeline.artifacts import manifest
from pipeline.artifacts.manifest import Manifest
from pipeline.errors import ArtifactError, ParameterError
from pipeline.generation import assemble, model
from pipeline.generation.devices import expected_dtype, resolve_dtype
from pipeline.generation.render import render_missing
from pipeline.params import Params
from pipeline.stages import deficits, generate, partition
from pipeline.workspace import Workspace

CPU = ["cpu"]
ROOT = Path(__file__).parents[2]


@pytest.fixture
def loaded(workspace: Workspace) -> Params:
    """The small project's parameters, with the stages before this one done."""
    small = params.load(workspace.params)
    partition.run(workspace, small)
    deficits.run(workspace, small)
    return small


def changed(small: Params, **values: object) -> Params:
    document = small.model_dump()
    document["generate"] |= values
    return Params.model_validate(document)


def rows(workspace: Workspace) -> list[dict[str, Any]]:
    known = manifest.load(workspace.manifest)
    return [row for shard in known.shards for path in known.paths(shard) for row in pq.read_table(path).to_pylist()]


def test_every_client_gets_the_images_that_it_lacks(
    workspace: Workspace, loaded: Params, capsys: pytest.CaptureFixture[str]
) -> None:
    generate.run(workspace, loaded, CPU)
    known, lacking = manifest.load(workspace.manifest), deficits_artifact.load(workspace.deficits)
    found = [[0] * 3 for _ in range(4)]
    for row in rows(workspace):
        found[row["client"]][row["label"]] += 1
    assert found == lacking.missing.tolist()
    assert [shard.rows for shard in known.shards] == lacking.missing.sum(axis=1).tolist()
    recipe = model.resolve(workspace, loaded.generate, loaded.seed, 16, "float32").recipe
    assert (known.recipe, known.recipe_text) == (recipe.digest, recipe.as_dict())
    total = lacking.missing.sum()
    assert capsys.readouterr().err.endswith(f"generate: {total} images rendered, {total} in 4 shards\n")


def test_files_that_no_client_has_any_more_are_deleted(workspace: Workspace, loaded: Params) -> None:
    workspace.shards.mkdir(parents=True)
    for name in ("client-00009.parquet", "client-00001.part-001.parquet", ".client-00002.parquet.x1y2"):
        (workspace.shards / name).write_bytes(b"of an earlier run")
    (workspace.shards / "client-00008.parquet").symlink_to("an object that DVC's cache lost")
    generate.run(workspace, loaded, CPU)
    known = manifest.load(workspace.manifest)
    assert sorted(workspace.shards.iterdir()) == sorted(path for shard in known.shards for path in known.paths(shard))


@pytest.mark.parametrize("name", [".ipynb_checkpoints/", "client-00001/", "notes.txt"])
def test_what_is_no_shard_is_named_before_anything_is_rendered(workspace: Workspace, loaded: Params, name: str) -> None:
    workspace.shards.mkdir(parents=True)
    foreign = workspace.shards / name
    if name.endswith("/"):
        foreign.mkdir()
    else:
        foreign.touch()
    with pytest.raises(ArtifactError, match=rf"^not a shard: {foreign}: move it elsewhere: [^\n]*$"):
        generate.run(workspace, loaded, CPU)
    assert list(workspace.shards.iterdir()) == [foreign]
    assert not workspace.pool.exists()
    assert not workspace.manifest.exists()


def test_what_appears_among_the_shards_meanwhile_is_left_alone(
    workspace: Workspace, loaded: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The manifest is written all the same."""

    def write(*given: Any, **more: Any) -> Any:
        (workspace.shards / ".ipynb_checkpoints").mkdir(parents=True, exist_ok=True)
        return assemble.write(*given, **more)

    monkeypatch.setattr(generate, "assemble", SimpleNamespace(write=write))
    generate.run(workspace, loaded, CPU)
    assert len(manifest.load(workspace.manifest).shards) == 4
    assert (workspace.shards / ".ipynb_checkpoints").is_dir()


def test_no_other_run_may_write_until_the_manifest_is_there(workspace: Workspace, loaded: Params) -> None:
    """Another process that asks for the lock before the manifest is saved gets it when the manifest is there."""
    program = (
        "from pipeline.generation.pool import Pool\n"
        "from pipeline.workspace import Workspace\n"
        "with Pool(Workspace().pool) as pool, pool.writing():\n"
        "    print(Workspace().manifest.exists())\n"
    )
    started: list[subprocess.Popen[str]] = []
    save = Manifest.save

    def late(known: Manifest) -> None:
        command = [sys.executable, "-c", program]
        other = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
        started.append(other)
        assert other.stderr is not None
        assert "waiting for another run" in other.stderr.readline()
        save(known)

    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Manifest, "save", late)
        generate.run(workspace, loaded, CPU)
    assert started[0].communicate(timeout=300)[0] == "True\n"


def test_what_auto_stands_for_is_recorded_before_anything_is_rendered(
    workspace: Workspace, loaded: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The recipe has it too; without auto nothing is recorded."""
    generate.run(workspace, loaded, CPU)
    assert not workspace.arithmetic.exists()
    auto, expected = changed(loaded, dtype="auto"), resolve_dtype("auto", CPU)
    monkeypatch.setattr(generate, "render_missing", Mock(side_effect=KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        generate.run(workspace, auto, CPU)
    monkeypatch.setattr(generate, "render_missing", render_missing)
    assert workspace.arithmetic.read_text() == f'{{"dtype": "{expected}"}}\n'
    assert expected_dtype(workspace, "auto").dtype == expected
    generate.run(workspace, auto, CPU)
    assert manifest.load(workspace.manifest).recipe_text["dtype"] == expected


def test_two_workspaces_in_one_process(workspace: Workspace, loaded: Params, tmp_path: Path) -> None:
    """The same project in another folder, with another cache, gives the same bytes there and touches nothing here."""
    second = Workspace(tmp_path / "second", tmp_path / "second cache")
    shutil.copytree(workspace.root, second.root)
    generate.run(second, loaded, CPU)
    assert not workspace.manifest.exists()
    assert not workspace.pool.exists()
    assert second.pool.parent == second.cache
    generate.run(workspace, loaded, CPU)
    assert second.manifest.read_bytes() == workspace.manifest.read_bytes()
    here, there = (manifest.load(one.manifest) for one in (workspace, second))
    for shard in here.shards:
        there.check(shard)


def test_an_override_draws_one_class_anew_under_another_name_and_keeps_its_label(
    workspace: Workspace, loaded: Params, capsys: pytest.CaptureFixture[str]
) -> None:
    generate.run(workspace, loaded, CPU)
    before, digest = rows(workspace), manifest.load(workspace.manifest).recipe
    capsys.readouterr()
    renamed = changed(loaded, class_overrides={"bag": "handbag"})
    deficits.run(workspace, renamed)
    generate.run(workspace, renamed, CPU)
    after = rows(workspace)
    bags = int(deficits_artifact.load(workspace.deficits).missing[:, 1].sum())
    assert bags > 0
    assert f"generate: {bags} images rendered" in capsys.readouterr().err
    assert [row for row in after if row["label"] != 1] == [row for row in before if row["label"] != 1]
    assert manifest.load(workspace.manifest).class_names == ("ankle boot", "bag", "coat")
    assert manifest.load(workspace.manifest).recipe == digest
    bags_anew = [row for row in after if row["label"] == 1]
    assert {(row["class_name"], row["prompt"]) for row in bags_anew} == {("handbag", "a photo of a handbag")}
    assert not {row["seed"] for row in bags_anew} & {row["seed"] for row in before}

    capsys.readouterr()
    deficits.run(workspace, loaded)
    generate.run(workspace, loaded, CPU)
    assert "generate: 0 images rendered" in capsys.readouterr().err
    assert rows(workspace) == before


def test_a_prompt_that_would_be_cut_is_refused_before_anything_is_rendered(
    project: Path, workspace: Workspace, loaded: Params
) -> None:
    """The tiny model reads 24 tokens, one for each letter and two marks; the shipped set that fits is named."""
    shutil.copytree(ROOT / "data/prompts", project / "data/prompts")
    (project / "own.yaml").write_text("templates: ['the photo that shows a {class}']\n")
    with pytest.raises(ParameterError) as caught:
        generate.run(workspace, changed(loaded, prompts="own.yaml"), CPU)
    assert str(caught.value) == (
        "a prompt would lose its end: 29 tokens, of which the model's text_encoder reads 24: "
        "own.yaml, templates, 'the photo that shows a {class}', class 'ankle boot', "
        "prompt 'the photo that shows a ankle boot': "
        "use fewer words there, or in generate.class_overrides for the class; "
        "or set generate.prompts to a set that fits: data/prompts/class-name.yaml, data/prompts/plain.yaml"
    )
    assert not workspace.pool.exists()
    assert not workspace.shards.exists()


def test_prompts_and_scales_of_params_yaml_reach_the_images(
    project: Path, workspace: Workspace, loaded: Params
) -> None:
    (project / "own.yaml").write_text("templates: ['{kind} of {class}']\nkind: [photo, sketch]\n")
    generate.run(workspace, changed(loaded, prompts="own.yaml", guidance={"low": 1, "high": 2, "step": 0.5}), CPU)
    made = rows(workspace)
    names = manifest.load(workspace.manifest).class_names
    assert {row["prompt"] for row in made} == {f"{kind} of {name}" for kind in ("photo", "sketch") for name in names}
    assert {row["guidance"] for row in made} == {1.0, 1.5, 2.0}
