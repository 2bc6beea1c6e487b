import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from pipeline import cli, params, paths
from pipeline.generation import context
from pipeline.generation.devices import cores
from pipeline.generation.fill import fill
from pipeline.generation.pool import Pool
from pipeline.stages import deficits, partition

ROOT = Path(__file__).parent.parent


def run(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pipeline", *arguments], cwd=cwd, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("arguments", [["--help"], ["generate", "--help"], ["pool", "gc", "--help"], []])
def test_help_loads_neither_torch_nor_datasets(arguments: list[str]) -> None:
    code = (
        "import sys; from pipeline.__main__ import main\n"
        "try: main()\n"
        "finally: print(sorted({'torch', 'diffusers', 'datasets', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0
    assert "Usage:" in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["generate", "--devices", "tpu"], "unknown device 'tpu': --devices"),
        (["train", "--fill", "water"], "unknown value 'water': --fill: one of none, transforms, synthetic"),
        (["train"], "Missing option '--fill': command line"),
        (["regenerate", "--client", "x"], "Invalid value for '--client'"),
        (["fly"], "No such command 'fly': command line"),
        (["pool", "fly"], "No such command 'fly': command line"),
        (["pool", "gc"], "nothing chosen: gen-fedsd pool gc: give --recipe, --older-than, or both"),
        (["pool", "gc", "--older-than", "-1"], "Invalid value for '--older-than'"),
        (["pool", "import", "nowhere.sqlite"], "no such file: nowhere.sqlite"),
        (["--fast"], "No such option: --fast: command line"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(arguments: list[str], said: str) -> None:
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_outside_a_project_every_command_says_where_to_run_it(tmp_path: Path) -> None:
    (tmp_path / "pipeline").symlink_to(ROOT / "pipeline")
    dry_run = ["generate", "--dry-run"]
    for command in (["partition"], ["deficits"], dry_run, ["status"], ["regenerate", "--client", "1"], ["report"]):
        done = run(*command, cwd=tmp_path)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
        assert "no parameters: params.yaml" in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "pipeline"] or not (tmp_path / "data").exists()


def test_before_anything_ran_the_commands_say_what_to_run(tmp_path: Path) -> None:
    (tmp_path / "pipeline").symlink_to(ROOT / "pipeline")
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    for command, said in (
        (["deficits"], "run: dvc repro partition"),
        (["generate", "--dry-run"], "run: dvc repro deficits"),
        (["verify"], "run: dvc repro generate"),
        (["preview", "--client", "0"], "run: dvc repro generate"),
        (["results"], "run: dvc repro"),
    ):
        done = run(*command, cwd=tmp_path)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
        assert said in done.stderr


def test_a_dry_run_prints_plan_and_cost_and_writes_nothing(project: Path) -> None:
    """Before anything is rendered, after half of it is, and after all."""
    (project / "pipeline").symlink_to(ROOT / "pipeline")
    loaded = params.load()
    partition.run(loaded)
    deficits.run(loaded)
    before = files(project)
    done = run("generate", "--dry-run", "--devices", "cpu", cwd=project)
    assert (done.returncode, done.stderr) == (0, "")
    plan, source = context.current(loaded, ["cpu"])
    planned = int(plan.missing.sum())
    assert planned > 0
    assert done.stdout == (
        f"recipe {plan.recipe.digest}, float32: {planned} images planned for 4 clients, {planned} distinct "
        "(each client has its own), 0 in the pool\n"
        f"{planned} to render in about {-(-planned // 4)} batches of 4: rate not yet known, size not yet known\n"
    )
    assert files(project) == before

    with Pool(paths.pool()) as pool:
        made = fill(pool, plan, source, ["cpu"], clients=[0, 1])
    done = run("generate", "--dry-run", "--devices", "cpu", cwd=project)
    left = planned - made
    assert 0 < made < planned
    assert f"{planned} distinct (each client has its own), {made} in the pool\n{left} to render in " in done.stdout
    assert re.search(r"about \d:\d\d:\d\d at the last rate, about \d+\.\d MB in the pool\n$", done.stdout)
    assert files(project) == before
    with Pool(paths.pool()) as pool:
        assert pool.lacks(plan.recipe, plan.distinct()) == left

    with Pool(paths.pool()) as pool:
        fill(pool, plan, source, ["cpu"])
    done = run("generate", "--dry-run", "--devices", "cpu", cwd=project)
    assert done.stdout.endswith(f"{planned} in the pool\n0 to render\n")


def test_one_worker_trains_on_each_gpu_or_on_each_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert cli._devices() == cores()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: cores() + 3)
    assert cli._devices() == cores() + 3
    for command in ("train", "central"):
        assert "0: one for each GPU" in " ".join(run(command, "--help").stdout.replace("│", "").split())


def files(folder: Path) -> dict[Path, bytes]:
    own = (path for path in folder.rglob("*") if path.is_file() and path.resolve().is_relative_to(folder))
    return {path: path.read_bytes() for path in own}


def test_every_readme_command_exists() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    used = re.findall(r"gen-fedsd ((?:pool )?[a-z]+)((?: --[a-z-]+(?: [^\s`-]+)?)*)", readme)
    assert used
    helps = {command: run(*command.split(), "--help") for command in {command for command, _ in used}}
    assert {command for command, done in helps.items() if done.returncode} == set()
    for command, options in used:
        for option in re.findall(r"--[a-z-]+", options):
            assert option in helps[command].stdout, (command, option)


def test_every_readme_make_target_exists() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"make ([a-z-]+)\b", readme))
    assert {"repro", "test"} <= targets
    assert {target for target in targets if not re.search(rf"^{target}:", makefile, re.MULTILINE)} == set()
