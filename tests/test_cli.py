import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def run(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pipeline", *arguments], cwd=cwd, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], []])
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
    for command in (["partition"], ["deficits"], ["status"], ["regenerate", "--client", "1"], ["report"]):
        done = run(*command, cwd=tmp_path)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
        assert "no parameters: params.yaml" in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "pipeline"] or not (tmp_path / "data").exists()


def test_before_anything_ran_the_commands_say_what_to_run(tmp_path: Path) -> None:
    (tmp_path / "pipeline").symlink_to(ROOT / "pipeline")
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    for command, said in (
        (["deficits"], "run: dvc repro partition"),
        (["verify"], "run: dvc repro generate"),
        (["preview", "--client", "0"], "run: dvc repro generate"),
        (["results"], "run: dvc repro"),
    ):
        done = run(*command, cwd=tmp_path)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
        assert said in done.stderr


def test_every_readme_command_exists() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    commands = set(re.findall(r"gen-fedsd ([a-z]+)", readme))
    listed = set(re.findall(r"^  ([a-z]+) ", run("--help").stdout.split("Commands:")[1], re.MULTILINE))
    assert commands
    assert commands <= listed
    for command, options in re.findall(r"gen-fedsd ([a-z]+)((?: --[a-z-]+(?: [^\s`-]+)?)+)", readme):
        known = run(command, "--help").stdout
        for option in re.findall(r"--[a-z-]+", options):
            assert option in known, (command, option)


def test_every_readme_make_target_exists() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"make ([a-z-]+)\b", readme))
    assert {"repro", "test"} <= targets
    assert {target for target in targets if not re.search(rf"^{target}:", makefile, re.MULTILINE)} == set()
