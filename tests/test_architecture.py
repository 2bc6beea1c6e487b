"""The house holds: what DVC is told about a stage covers what its code reads."""

import ast
from pathlib import Path

import grimp
import pytest
import yaml

from pipeline import params, paths

ROOT = Path(params.__file__).parent.parent
DVC = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))
STAGES = sorted(path.stem for path in (ROOT / "pipeline/stages").glob("*.py") if path.stem != "__init__")

# These decide no result: they name files, write them whole, check values that are in params.yaml, print progress, bring
# tasks to processes.
PLUMBING = {f"pipeline.{name}" for name in ("errors", "paths", "atomic", "progress", "processes", "params")}

ARTIFACTS = {
    "partition": [paths.PARTITION],
    "deficits": [paths.DEFICITS],
    "manifest": [paths.MANIFEST, paths.SHARDS],
}


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph("pipeline", cache_dir=None)


def modules(graph: grimp.ImportGraph, stage: str) -> set[str]:
    name = f"pipeline.stages.{stage}"
    return {name, *graph.find_upstream_modules(name)}


def source(module: str) -> ast.Module:
    base = ROOT / Path(*module.split("."))
    return ast.parse((base / "__init__.py" if base.is_dir() else base.with_suffix(".py")).read_text(encoding="utf-8"))


def sections_read(tree: ast.Module) -> set[str]:
    """Attributes of every argument that is annotated as the whole of ``Params``."""
    read = set()
    for function in (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)):
        whole = {
            a.arg for a in function.args.args if isinstance(a.annotation, ast.Name) and a.annotation.id == "Params"
        }
        for node in ast.walk(function):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in whole:
                read.add(node.attr)
    return read & set(params.Params.model_fields)


def artifacts_loaded(tree: ast.Module) -> set[str]:
    return {
        node.func.value.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "load"
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id in ARTIFACTS
    }


def used_by(graph: grimp.ImportGraph, stage: str) -> list[ast.Module]:
    """The stage's own code, and for ``generate`` the room that starts from the parameters for it."""
    extra = ["pipeline.generation.context"] if stage == "generate" else []
    return [source(f"pipeline.stages.{stage}"), *map(source, extra)]


def test_every_stage_file_is_a_dvc_stage_of_the_same_name_and_the_other_way_round() -> None:
    assert sorted(DVC["stages"]) == STAGES


@pytest.mark.parametrize("stage", STAGES)
def test_the_command_runs_the_stage_of_that_name(stage: str) -> None:
    assert DVC["stages"][stage]["cmd"].startswith(f"${{run}} {stage}")


@pytest.mark.parametrize("stage", STAGES)
def test_dvc_params_are_the_sections_that_the_code_reads(graph: grimp.ImportGraph, stage: str) -> None:
    read = set().union(*map(sections_read, used_by(graph, stage)))
    assert set(DVC["stages"][stage]["params"]) == read


@pytest.mark.parametrize("stage", STAGES)
def test_dvc_deps_cover_every_module_that_the_stage_imports(graph: grimp.ImportGraph, stage: str) -> None:
    listed = [dep for dep in DVC["stages"][stage]["deps"] if dep.startswith("pipeline/")]
    covered = {dep.removesuffix(".py").replace("/", ".") for dep in listed}
    needed = {name for name in modules(graph, stage) - PLUMBING if not (ROOT / Path(*name.split("."))).is_dir()}
    assert {name for name in needed if not any(name == c or name.startswith(f"{c}.") for c in covered)} == set()


@pytest.mark.parametrize("stage", STAGES)
def test_dvc_deps_cover_every_artifact_that_the_stage_loads(graph: grimp.ImportGraph, stage: str) -> None:
    loaded = set().union(*map(artifacts_loaded, used_by(graph, stage)))
    needed = {path.as_posix() for name in loaded for path in ARTIFACTS[name]}
    assert needed <= set(DVC["stages"][stage]["deps"])


def test_dvc_watches_the_data_set_the_model_and_the_prompt_set() -> None:
    for stage, key in (("partition", "data"), ("train", "data"), ("central", "data"), ("generate", "generate")):
        assert f"${{{key}.watch}}" in DVC["stages"][stage]["deps"]
    assert "${generate.prompts}" in DVC["stages"]["generate"]["deps"]


def test_params_yaml_names_every_parameter_so_that_none_hides_in_the_code() -> None:
    document = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    parsed = params.load(ROOT / "params.yaml")
    assert set(document) == set(params.Params.model_fields)
    for name, section in parsed:
        if isinstance(section, params.Section):
            assert set(document[name]) == set(type(section).model_fields)


def test_every_file_is_read_in_one_sitting() -> None:
    longest = max((ROOT / "pipeline").rglob("*.py"), key=lambda path: len(path.read_text().splitlines()))
    assert len(longest.read_text().splitlines()) <= 300, longest


def test_nothing_is_unpickled_and_no_remote_code_is_trusted() -> None:
    for path in (ROOT / "pipeline").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert "import pickle" not in text
        assert "torch.load(" not in text
        assert "trust_remote_code" not in text
