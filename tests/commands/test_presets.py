"""The presets are params.yaml with other values, and get into a workspace without losing anybody's edits."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline import params
from pipeline.__main__ import main
from pipeline.commands import presets
from pipeline.errors import ParameterError
from pipeline.workspace import Workspace

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "data/presets"
NAMES = sorted(path.stem for path in FOLDER.glob("*.yaml"))
ISSUED = {"demo", "cifar10-sd15", "cifar10-2labels-sd15", "cifar10-niid-bench", "cifar100-sd15", "imagenette-sd15"}
ISSUED |= {"imagenet100-sd21", "pacs-sd15", "imagefolder", "cifar10-turbo", "cifar10-generators"}


@pytest.fixture(scope="module")
def maker() -> Any:
    """The program that writes the presets."""
    sys.path.insert(0, str(FOLDER))
    try:
        import make_presets

        yield make_presets
    finally:
        sys.path.remove(str(FOLDER))


@pytest.mark.parametrize("name", NAMES)
def test_a_preset_is_what_make_presets_writes(maker: Any, name: str) -> None:
    """So a parameter that params.yaml gets is in every preset, and the numbers of a head are those of its values."""
    text = (FOLDER / f"{name}.yaml").read_text(encoding="utf-8")
    shipped = presets.flat(yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8")))
    found = presets.flat(yaml.safe_load(text))
    missing, strange = sorted(shipped.keys() - found.keys()), sorted(found.keys() - shipped.keys())
    assert (missing, strange) == ([], []), f"run: make presets (lacks {missing}, has beyond params.yaml {strange})"
    assert text == maker.content(name), "run: make presets"


def test_all_presets_are_there_and_the_demo_has_the_values_of_params_yaml() -> None:
    assert set(NAMES) == ISSUED
    assert presets.listed()[0].name == "demo"
    assert params.load(FOLDER / "demo.yaml") == params.load(ROOT / "params.yaml")


def test_real_presets_pin_what_they_take_from_the_hub() -> None:
    """Their data and models are Hub ids with a commit; only the user's own pictures and the demo are local."""
    for name in set(NAMES) - {"demo", "imagefolder", "cifar10-generators"}:
        read = params.load(FOLDER / f"{name}.yaml")
        assert all(len(one.revision or "") == 40 for one in (read.data, read.generate)), name
        assert (ROOT / read.generate.prompts).is_file()


def test_the_numbers_of_a_head(maker: Any) -> None:
    """Two labels of ten a client: 100 clients of 500 images lack 8 classes of 50 images each with global-mean.

    50,000 / (100 x 10) = 50 images of each class for each client. It has 2 classes of about 250, so it lacks 8 x 50,
    and all lack 100 x 400 = 40,000. If clients share images, each class is drawn 50 times: 500.
    """
    assert "# Images: 40,000 synthetic beside 50,000 real of 100 clients, with global-mean (500 if" in presets.text(
        "cifar10-2labels-sd15"
    )
    [listed] = [one for one in presets.listed() if one.name == "cifar10-2labels-sd15"]
    assert listed.images == "40,000"
    assert listed.gpu_time.endswith(" h")
    assert listed.what == "CIFAR-10 and Stable Diffusion 1.5, 2 labels a client"


def workspace_in(folder: Path) -> Workspace:
    return Workspace(folder, folder / "cache")


def git(folder: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=x", "-c", "user.email=x@example.org")
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


def test_use_replaces_a_file_that_ships_and_one_that_git_has_but_no_edits(tmp_path: Path) -> None:
    here = workspace_in(tmp_path)
    assert presets.use(here, "cifar10-sd15")
    assert not presets.use(here, "cifar10-sd15")
    assert presets.use(here, "demo")
    edited = here.params.read_text().replace("seed: 2", "seed: 3", 1)
    here.params.write_text(edited)
    with pytest.raises(ParameterError, match=r"edits that no commit holds: .*params\.yaml: commit them, or rename"):
        presets.use(here, "cifar10-sd15")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "params.yaml")
    with pytest.raises(ParameterError, match="edits that no commit holds"):
        presets.use(here, "cifar10-sd15")
    assert here.params.read_text() == edited
    git(tmp_path, "commit", "-qm", "Try another seed")
    assert presets.use(here, "cifar10-sd15")
    assert params.load(here.params).partition.clients == 100


def test_an_ignored_file_is_not_in_any_commit(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    (tmp_path / ".gitignore").write_text("params.yaml\n")
    (tmp_path / "params.yaml").write_text("mine: true\n")
    with pytest.raises(ParameterError, match="edits that no commit holds"):
        presets.use(workspace_in(tmp_path), "demo")


def test_diff_names_every_value_that_differs_and_no_other(tmp_path: Path) -> None:
    here = workspace_in(tmp_path)
    presets.use(here, "demo")
    assert presets.diff(here, "demo") == ()
    here.params.write_text(here.params.read_text().replace("  steps: 8 ", "  steps: 9 "))
    assert presets.diff(here, "demo") == (presets.Difference("generate.steps", 9, 8),)
    assert presets.Difference("partition.clients", 10, 100) in presets.diff(here, "cifar10-sd15")


def test_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)

    def gen_fedsd(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["gen-fedsd", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    code, out, _ = gen_fedsd("preset", "list")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()[1:-1]] == ["demo", *sorted(set(NAMES) - {"demo"})]
    assert gen_fedsd("preset", "show", "pacs-sd15")[1] == (FOLDER / "pacs-sd15.yaml").read_text()
    assert gen_fedsd("preset", "use", "pacs")[::2] == (
        2,
        "error: no preset 'pacs': gen-fedsd preset: did you mean pacs-sd15?\n",
    )
    assert not (tmp_path / "params.yaml").exists()
    code, out, _ = gen_fedsd("preset", "use", "pacs-sd15")
    assert (code, out.partition(";")[0]) == (0, "params.yaml is now the preset pacs-sd15")
    assert gen_fedsd("preset", "diff", "pacs-sd15")[1] == "params.yaml has the values of the preset pacs-sd15\n"
