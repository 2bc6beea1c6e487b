"""The commands as a user meets them: real processes, their output and exit codes."""

import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import typer
import yaml

from pipeline import params
from pipeline.cli import app, stages
from pipeline.generation import request
from pipeline.generation.devices import cores
from pipeline.generation.pool import Pool
from pipeline.generation.render import render_missing
from pipeline.stages import deficits, partition
from pipeline.workspace import Workspace

ROOT = Path(__file__).parents[2]
LOADED = """
import sys
from pipeline.__main__ import main
try: main()
finally: print(sorted({'torch', 'diffusers', 'datasets', 'numpy'} & set(sys.modules)), file=sys.stderr)
"""
"""Runs a command and prints which of the slow libraries it has loaded."""


def run(*commands: Sequence[str], cwd: Path = ROOT, code: str = "") -> list[subprocess.CompletedProcess[str]]:
    """Run commands side by side, or ``code`` with their arguments; return what each did, in order."""
    program = [sys.executable, "-c", code] if code else [sys.executable, "-m", "pipeline"]
    started = [
        subprocess.Popen([*program, *one], cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for one in commands
    ]
    ended = [(process, *process.communicate(timeout=300)) for process in started]
    return [subprocess.CompletedProcess(process.args, process.returncode, out, err) for process, out, err in ended]


HELP: tuple[list[str], ...] = (
    ["--help"],
    ["generate", "--help"],
    ["pool", "gc", "--help"],
    ["runs", "--help"],
    ["cache", "--help"],
    [],
)


def test_help_loads_no_slow_library() -> None:
    for done in run(*HELP, code=LOADED):
        assert done.returncode == 0
        assert "Usage:" in done.stdout
        assert done.stderr == "[]\n"


MISTAKES = (
    (["generate", "--probe"], "a probe without an estimate: --probe: add --dry-run"),
    (["generate", "--devices", "tpu"], "unknown device 'tpu': --devices"),
    (["train", "--fill", "water"], "unknown fill 'water': --fill: one of central-real, "),
    (["fill", "--fill", "water"], "unknown fill 'water': --fill: one of central-real, "),
    (
        ["train", "--fill", "none", "--algorithm", "fedwater"],
        "unknown algorithm 'fedwater': --algorithm: one of fedadam",
    ),
    (["train", "--algorithm", "../fedavg"], "unknown algorithm '../fedavg': --algorithm: one of fedadam"),
    (["fill", "--fill", "../../x"], "unknown fill '../../x': --fill: one of central-real, "),
    (["fingerprint", "fills"], "'fills' is not one of 'images', 'words', 'dropouts', 'model'"),
    (["regenerate", "--client", "x"], "Invalid value for '--client'"),
    (["status", "--devices", "cpu"], "No such option: --devices"),
    (["fly"], "No such command 'fly': command line"),
    (["central"], "No such command 'central'"),
    (["pool", "fly"], "No such command 'fly': command line"),
    (["pool", "gc"], "nothing chosen: gen-fedsd pool gc: give --recipe, --older-than, or both"),
    (["pool", "gc", "--older-than", "-1"], "Invalid value for '--older-than'"),
    (["cache", "gc", "--older-than", "-1"], "Invalid value for '--older-than'"),
    (["pool", "import", "nowhere.sqlite"], "no such file: nowhere.sqlite"),
    (["--fast"], "No such option: --fast: command line"),
)


def test_bad_input_is_one_line_and_exit_code_2() -> None:
    for done, (arguments, printed) in zip(run(*(arguments for arguments, _ in MISTAKES)), MISTAKES, strict=True):
        assert (done.returncode, done.stdout) == (2, ""), arguments
        assert done.stderr.startswith("error: ")
        assert printed in done.stderr
        assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("changes", "printed"),
    [
        ({"fills": ["none", "synthetik"]}, "unknown fill 'synthetik': params.yaml, train.fills: "),
        ({"references": ["central"]}, "unknown fill 'central': params.yaml, train.references: "),
        (
            {"algorithms": ["fedavgn"], "options": {"fedavg": {}, "fedavgn": {}}},
            "unknown algorithm 'fedavgn': params.yaml, train.algorithms: ",
        ),
        (
            {"algorithms": ["fedavg"], "options": {"fedavg": {}, "fedproxy": {"mu": 1.0}}},
            "unknown algorithm 'fedproxy': params.yaml, train.options: ",
        ),
    ],
)
def test_unknown_names_in_the_parameters_stop_the_first_stage(
    project: Path, document: dict[str, Any], changes: dict[str, object], printed: str
) -> None:
    """They would otherwise be found after hours of rendering; ``partition`` trains nothing, and refuses them."""
    document["train"] |= changes
    (project / "params.yaml").write_text(yaml.safe_dump(document))
    (project / "pipeline").symlink_to(ROOT / "pipeline")
    for done in run(["fingerprint"], ["partition"], cwd=project):
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
        assert done.stderr.startswith(f"error: {printed}")
    assert not (project / "data").exists()


def test_outside_a_project_every_command_says_where_to_run_it(tmp_path: Path) -> None:
    (tmp_path / "pipeline").symlink_to(ROOT / "pipeline")
    commands = (
        *(["fingerprint"], ["partition"], ["deficits"], ["generate"], ["generate", "--dry-run"], ["fill"]),
        *(["train"], ["train", "--fill", "none"], ["report"], ["status"], ["regenerate", "--client", "1"]),
        *(["push", "--repo-id", "me/mine"], ["pull", "--repo-id", "me/mine"]),
    )
    for done in run(*commands, cwd=tmp_path):
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
        assert "no parameters: params.yaml" in done.stderr
    assert not (tmp_path / "data").exists()


def test_before_anything_ran_the_commands_say_what_to_run(tmp_path: Path) -> None:
    (tmp_path / "pipeline").symlink_to(ROOT / "pipeline")
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    expected = (
        (["deficits"], "run: dvc repro partition"),
        (["generate", "--dry-run"], "run: dvc repro deficits"),
        (["verify"], "run: dvc repro generate"),
        (["preview", "--client", "0"], "run: dvc repro generate"),
        (["push", "--repo-id", "me/mine"], "run: dvc repro generate"),
        (["results"], "run: dvc repro"),
    )
    for done, (_, printed) in zip(run(*(command for command, _ in expected), cwd=tmp_path), expected, strict=True):
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
        assert printed in done.stderr


def test_a_dry_run_prints_plan_and_cost_and_writes_nothing(workspace: Workspace, project: Path) -> None:
    """Before anything is rendered, after half of it is, and after all; without torch."""
    (project / "pipeline").symlink_to(ROOT / "pipeline")
    loaded = params.load(workspace.params)
    partition.run(workspace, loaded)
    deficits.run(workspace, loaded)
    before = files(project)
    (done,) = run(["generate", "--dry-run"], cwd=project, code=LOADED)
    assert (done.returncode, done.stderr) == (0, "['numpy']\n")
    asked = request.current(workspace, loaded, "float32")
    planned = int(asked.plan.missing.sum())
    assert planned > 0
    assert done.stdout == (
        f"recipe {asked.plan.recipe.digest}, float32 (set in params.yaml): {planned} images planned for 4 clients, "
        f"{planned} distinct (each client has its own), 0 in the pool\n"
        f"{planned} not in the pool, to render in about {-(-planned // 4)} batches of 4: rate not yet known "
        "(gen-fedsd generate --dry-run --probe measures it), size not yet known\n"
    )
    assert files(project) == before

    with Pool(workspace.pool) as pool:
        made = render_missing(pool, asked, ["cpu"], [0, 1])
    done, status = run(["generate", "--dry-run"], ["status"], cwd=project, code=LOADED)
    left = planned - made
    assert 0 < made < planned
    assert (
        f"{planned} distinct (each client has its own), {made} in the pool\n{left} not in the pool, to render in "
        in done.stdout
    )
    assert re.search(
        r"about \d:\d\d:\d\d at [\d.e+]+ images/s \(measured just now over \d+ images on 1 worker, .+\), "
        r"about \d+\.\d MB in the pool\n$",
        done.stdout,
    )
    assert status.stdout.endswith(done.stdout)
    assert status.stderr == "['numpy']\n"
    assert files(project) == before
    with Pool(workspace.pool) as pool:
        assert pool.lacks(asked.plan.recipe, asked.plan.wanted()) == left

    with Pool(workspace.pool) as pool:
        render_missing(pool, asked, ["cpu"])
    (done,) = run(["generate", "--dry-run"], cwd=project)
    assert done.stdout.endswith(f"{planned} in the pool\n0 to render\n")


def test_one_worker_trains_on_each_gpu_or_on_each_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert stages._device_count() == cores()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: cores() + 3)
    assert stages._device_count() == cores() + 3
    (done,) = run(["train", "--help"])
    assert "0: one for each GPU" in " ".join(done.stdout.replace("│", "").split())


def files(folder: Path) -> dict[Path, bytes]:
    own = (path for path in folder.rglob("*") if path.is_file() and path.resolve().is_relative_to(folder))
    return {path: path.read_bytes() for path in own}


def test_every_command_of_the_documents_exists() -> None:
    documents = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    text = "\n".join(path.read_text(encoding="utf-8") for path in documents)
    used = re.findall(r"gen-fedsd ((?:pool |runs |cache |sweep )?[a-z]+)((?: --[a-z-]+(?: [^\s`-]+)?)*)", text)
    assert {"push", "pull", "pool gc", "cache gc"} <= {command for command, _ in used}
    known = {" ".join(names): options for names, options in commands_with_options(typer.main.get_command(app))}
    for command, options in used:
        assert command in known
        assert set(re.findall(r"--[a-z-]+", options)) <= known[command], command


def commands_with_options(command: Any, names: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], set[str]]]:
    """Every command below a group, by the words that call it, and its options."""
    for name, inner in getattr(command, "commands", {}).items():
        yield (*names, name), {option for given in inner.params for option in (*given.opts, *given.secondary_opts)}
        yield from commands_with_options(inner, (*names, name))


def test_every_readme_make_target_exists() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"make ([a-z-]+)\b", readme))
    assert {"repro", "test"} <= targets
    assert {target for target in targets if not re.search(rf"^{target}:", makefile, re.MULTILINE)} == set()
