"""The structure: dvc.yaml covers what the code of a stage reads, imports have no circle, files are short."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import grimp
import pytest
import yaml

from pipeline import params
from pipeline.workspace import Workspace

ROOT = Path(params.__file__).parent.parent
DVC = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))
FILES = sorted(path.stem for path in (ROOT / "pipeline/stages").glob("*.py") if path.stem != "__init__")
HERE = Workspace()

# These decide no result: they name files, write them whole, check values that are in params.yaml, print progress, bring
# tasks to processes.
PLUMBING = {
    f"pipeline.{name}"
    for name in (
        "errors",
        "workspace",
        "atomic",
        "progress",
        "processes",
        "params",
        "printable",
        "yaml_file",
    )
}

ARTIFACTS = {
    "partition": [HERE.partition],
    "deficits": [HERE.deficits],
    "manifest": [HERE.manifest],
    "holdings": [HERE.fill("${item.fill}")],
}
READERS = {
    "generate": ["generation.request"],
    "fill": ["fills.common.given"],
    "report": ["reporting.content", "reporting.arms"],
}
"""Rooms that read artifacts for a stage, beside its own file."""

MOST_LINES, MEDIAN_LINES, MOST_LINES_OF_A_FUNCTION = 300, 120, 40


def commands(stage: str) -> list[str]:
    """Return the names of the commands that a DVC stage runs."""
    given = DVC["stages"][stage]["cmd"]
    return [re.fullmatch(r"\$\{run\} (\S+).*", line)[1] for line in ([given] if isinstance(given, str) else given)]  # type: ignore[index]


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph("pipeline", cache_dir=None)


def modules(graph: grimp.ImportGraph, stage: str) -> set[str]:
    names = {f"pipeline.stages.{command}" for command in commands(stage)}
    return names.union(*(graph.find_upstream_modules(name) for name in names))


def source(module: str) -> ast.Module:
    base = ROOT / Path(*module.split("."))
    return ast.parse((base / "__init__.py" if base.is_dir() else base.with_suffix(".py")).read_text(encoding="utf-8"))


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


def test_every_stage_file_is_what_some_dvc_stage_runs() -> None:
    """A DVC stage that runs one command has its name; ``central`` runs two."""
    assert sorted({command for stage in DVC["stages"] for command in commands(stage)}) == FILES
    assert {stage: commands(stage) for stage in DVC["stages"] if commands(stage) != [stage]} == {
        "central": ["fill", "train"]
    }


@pytest.mark.parametrize("stage", DVC["stages"])
def test_dvc_deps_cover_every_module_that_the_stage_imports(graph: grimp.ImportGraph, stage: str) -> None:
    listed = [dep for dep in DVC["stages"][stage]["deps"] if dep.startswith("pipeline/")]
    covered = {dep.removesuffix(".py").replace("/", ".") for dep in listed}
    needed = {name for name in modules(graph, stage) - PLUMBING if not (ROOT / Path(*name.split("."))).is_dir()}
    assert {name for name in needed if not any(name == c or name.startswith(f"{c}.") for c in covered)} == set()


@pytest.mark.parametrize("stage", DVC["stages"])
def test_dvc_deps_cover_every_artifact_that_the_stage_loads(stage: str) -> None:
    """But for what holdings name by digest: a run depends on shards and deficits through its holdings."""
    rooms = [room for command in commands(stage) for room in (f"stages.{command}", *READERS.get(command, []))]
    loaded = set().union(*(artifacts_loaded(source(f"pipeline.{room}")) for room in rooms))
    known = DVC["stages"][stage]
    needed = {path.as_posix() for name in loaded for path in ARTIFACTS[name]}
    missing = needed - set(known["deps"]) - set(known["outs"])
    assert missing == ({"data/deficits.csv"} if stage == "central" else set())


def test_nothing_imports_in_a_circle(graph: grimp.ImportGraph) -> None:
    """Type hints included."""
    for name in graph.modules:
        assert name not in graph.find_upstream_modules(name), name


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


def functions() -> Iterator[tuple[str, int]]:
    """Yield every function with the lines that it takes."""
    for path in (ROOT / "pipeline").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef):
                yield f"{path.relative_to(ROOT)}: {node.name}", (node.end_lineno or 0) - node.lineno + 1


def test_every_file_is_read_in_one_sitting() -> None:
    lines = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in (ROOT / "pipeline").rglob("*.py")}
    assert {str(path): count for path, count in lines.items() if count > MOST_LINES} == {}
    assert sorted(lines.values())[len(lines) // 2] < MEDIAN_LINES
    assert {name: count for name, count in functions() if count > MOST_LINES_OF_A_FUNCTION} == {}


def test_nothing_is_unpickled_and_no_remote_code_is_trusted() -> None:
    for path in (ROOT / "pipeline").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert "import pickle" not in text
        assert "torch.load(" not in text
        assert "trust_remote_code" not in text
