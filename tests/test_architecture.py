"""The structure: dvc.yaml covers what the code of a stage reads, imports have no circle, files are short."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import grimp
import pytest
import yaml

from pipeline import params
from pipeline.workspace import Workspace

ROOT = Path(params.__file__).parent.parent
DVC = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
DEPENDENT = [stage for stage, described in DVC.items() if not described.get("always_changed")]
FILES = sorted(path.stem for path in (ROOT / "pipeline/stages").glob("*.py") if path.stem != "__init__")
HERE = Workspace()

# These decide no result: they name files, write them whole, check values that are in params.yaml, print progress, bring
# tasks to processes, note what is spent.
PLUMBING = {
    f"pipeline.{name}"
    for name in (
        *("errors", "workspace", "atomic", "progress", "processes", "ledger", "energy"),
        *("params", "data_params", "evaluate_params", "network_params", "section", "values", "bad_params"),
        *("yaml_file", "printable"),
    )
}

ARTIFACTS = {
    "partition": [HERE.partition],
    "deficits": [HERE.deficits],
    "manifest": [HERE.manifest],
    "holdings": [HERE.fill("none").parent],
}
READERS = {
    "generate": ["generation.request", "generation.gate"],
    "fill": ["fills.common.given"],
    "report": ["reporting.content", "reporting.arms"],
}
"""Rooms that read artifacts for a stage, beside its own file."""

MOST_LINES, MEDIAN_LINES, MOST_LINES_OF_A_FUNCTION = 300, 120, 40


def command(stage: str) -> str:
    """Return the command that a DVC stage runs."""
    found = re.fullmatch(
        r'PATH="\$DVC_ROOT/\.venv/bin:\$PATH" python -m pipeline ([a-z]+)( [a-z]+)*', DVC[stage]["cmd"]
    )
    assert found is not None, stage
    return found[1]


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph("pipeline", cache_dir=None)


def modules(graph: grimp.ImportGraph, stage: str) -> set[str]:
    """Return what runs in a stage: its module, what that imports, also by name, and the packages around them."""
    found: set[str] = set()
    new = {f"pipeline.stages.{command(stage)}"}
    while new:
        name = new.pop()
        found.add(name)
        package, _, _ = name.rpartition(".")
        by_name = graph.find_children(name) if loads_by_name(name) else set()
        new |= ({package} - {""} | graph.find_modules_directly_imported_by(name) | by_name) - found
    return found


@cache
def loads_by_name(module: str) -> bool:
    """Return whether a package imports its own modules by a name that it is given."""
    return "importlib.import_module(" in ast.unparse(source(module))


def has_code(module: str) -> bool:
    """Return whether a file has more than a docstring."""
    return any(not isinstance(node, ast.Expr) for node in source(module).body)


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
    """A DVC stage has the name of its command; two have the name of what they look at behind it."""
    assert sorted(set(map(command, DVC))) == FILES
    assert {stage.removesuffix("-images").removesuffix("-model"): command(stage) for stage in DVC} == {
        name: name for name in FILES
    }


@pytest.mark.parametrize("stage", DEPENDENT)
def test_dvc_deps_cover_every_module_that_the_stage_imports(graph: grimp.ImportGraph, stage: str) -> None:
    """Also those that are loaded by name, such as fills and algorithms, and the code of packages."""
    listed = [dep for dep in DVC[stage]["deps"] if dep.startswith("pipeline/")]
    covered = {dep.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for dep in listed}
    needed = {name for name in modules(graph, stage) - PLUMBING if has_code(name)}
    assert {name for name in needed if not any(name == c or name.startswith(f"{c}.") for c in covered)} == set()
    assert {c for c in covered if not any(name == c or name.startswith(f"{c}.") for name in needed)} == set()


def test_modules_that_are_loaded_by_name_count_as_imported(graph: grimp.ImportGraph) -> None:
    """The fill transforms imports own, which imports rounding; only the packages themselves load by name."""
    assert "pipeline.clients.rounding" in modules(graph, "fill") & modules(graph, "train")
    assert "pipeline.federated.algorithms.scaffold" in modules(graph, "train")
    assert {name for name in graph.modules if loads_by_name(name)} == {
        "pipeline.federated.algorithms",
        "pipeline.fills",
    }
    for name in ("pipeline.federated.algorithms", "pipeline.fills"):
        assert re.search(r"import_module\(f['\"]{__name__}\.{", ast.unparse(source(name)))


@pytest.mark.parametrize("stage", DEPENDENT)
def test_dvc_deps_cover_every_artifact_that_the_stage_loads(stage: str) -> None:
    """But for what holdings name by digest: a run depends on shards and deficits through its holdings."""
    rooms = [f"stages.{stage}", *READERS.get(stage, [])]
    loaded = set().union(*(artifacts_loaded(source(f"pipeline.{room}")) for room in rooms))
    needed = {path.as_posix() for name in loaded for path in ARTIFACTS[name]}
    assert needed - set(DVC[stage]["deps"]) == set()


def test_no_text_has_the_marks_of_an_unfinished_merge() -> None:
    """In documents and parameter files nothing else fails for them."""
    kinds = (".md", ".yaml", ".toml", ".txt", ".py", ".j2", ".css", ".js", "")
    folders = ("pipeline", "tests", "docs", "sweeps", "data/presets", "data/prompts", "data/generators", "benchmarks")
    texts = [path for folder in folders for path in (ROOT / folder).rglob("*") if path.suffix in kinds]
    texts += [path for path in ROOT.iterdir() if path.suffix in kinds]
    whole = {path: path.read_text(encoding="utf-8") for path in texts if path.is_file()}
    assert ROOT / "docs/comparisons.md" in whole
    marked = re.compile(rf"^({'<' * 7}|{'>' * 7}) ", re.MULTILINE)
    assert [path for path, text in whole.items() if marked.search(text)] == []


def test_nothing_imports_in_a_circle(graph: grimp.ImportGraph) -> None:
    """Type hints included."""
    for name in graph.modules:
        assert name not in graph.find_upstream_modules(name), name


def test_stages_that_read_images_or_the_model_depend_on_their_fingerprints(graph: grimp.ImportGraph) -> None:
    """A stage that imports the reader of either; fills read images only for the arrays that holdings name."""
    for stage in DEPENDENT:
        reads, deps = modules(graph, stage), set(DVC[stage]["deps"])
        if "pipeline.data.images" in reads and stage not in ("fill", "generate"):
            assert HERE.fingerprint("images").as_posix() in deps, stage
        if "pipeline.generation.model" in reads:
            assert HERE.fingerprint("model").as_posix() in deps, stage


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
