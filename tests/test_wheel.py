"""What somebody does who has no clone: install the wheel, point it at a folder of pictures, run the pipeline."""

import importlib.util
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline import params

ROOT = Path(__file__).parents[1]
CLASSES = ("ankle_boot", "n02690373", "t-shirt")
SHORT = {
    r"^  rounds: .*": "  rounds: 2",
    r"^  seeds: \[1, 2, 3\] .*": "  seeds: [1]",
    r"^  steps: 400 .*": "  steps: 10",
    r"^  central_steps: .*": "  central_steps: 10",
    r"^  last_rounds: .*": "  last_rounds: 2",
}
"""Less work than what init proposes; the sections evaluate and train have keys of the same names."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the wheel is installed, without what it depends on, which the tests' environment has."""
    if importlib.util.find_spec("hatchling") is None:
        pytest.skip("hatchling, which builds the wheel, is not installed: run make install")
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    [wheel] = folder.glob("*.whl")
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-compile"]
    subprocess.run([*install, "--target", str(folder / "site"), str(wheel)], check=True, capture_output=True)
    return folder / "site"


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Class folders without splits: 30 pictures of each class, 24 x 20 pixels."""
    folder, rng = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    for label, name in enumerate(CLASSES):
        (folder / name).mkdir()
        for number in range(30):
            pixels = rng.integers(0, 120, (20, 24, 3)).astype(np.uint8)
            pixels[:, :, label] += 120
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
    return folder


class Workplace:
    """An empty folder, and commands that run in it with the installed package."""

    def __init__(self, place: Path, site: Path) -> None:
        self.place = place
        paths = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        self.environment = {
            **{name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
            **{"PYTHONPATH": str(site), "PATH": paths, "GEN_FEDSD_CACHE": str(place.parent / "cache")},
            **{"GIT_CEILING_DIRECTORIES": str(place.parent), "GEN_FEDSD_DEVICES": "cpu*2", "DVC_NO_ANALYTICS": "1"},
        }

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", *arguments]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, cwd=self.place, env=self.environment, stdout=pipe, stderr=pipe, text=True)

    def run(self, *arguments: str) -> tuple[str, str]:
        started = self.start(*arguments)
        out, err = started.communicate()
        assert started.returncode == 0, out + err
        return out, err

    def processes(self) -> set[int]:
        """The processes that work in this folder."""
        found = set()
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                if (entry / "cwd").readlink() == self.place:
                    found.add(int(entry.name))
            except OSError:  # it has ended, or belongs to somebody else
                continue
        return found

    def end_all(self) -> None:
        for process in self.processes():
            os.kill(process, signal.SIGKILL)


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory, site: Path) -> Iterator[Workplace]:
    place = tmp_path_factory.mktemp("user") / "work"
    place.mkdir()
    made = Workplace(place, site)
    yield made
    made.end_all()


def wait_for(condition: object, seconds: float) -> bool:
    assert callable(condition)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.1)
    return bool(condition())


def test_init_lays_out_a_workspace_that_runs_to_the_report(workplace: Workplace, pictures: Path, site: Path) -> None:
    place = workplace.place
    out, _ = workplace.run("pipeline", "init", "--data", str(pictures), "--model", "data/demo/model")
    assert "airliner" in out
    assert re.search(r"^\*  global-mean +own ", out, re.M)
    assert str(site) not in (place / "dvc.yaml").read_text()
    proposed = params.load(place / "params.yaml")
    assert (proposed.data.train, proposed.data.test, proposed.data.holdout) == (".", None, 0.2)
    assert proposed.generate.class_overrides == {"ankle_boot": "ankle boot", "n02690373": "airliner"}
    text = (place / "params.yaml").read_text()
    for pattern, short in SHORT.items():
        text, count = re.subn(pattern, short, text, flags=re.M)
        assert count, pattern
    (place / "params.yaml").write_text(text)

    # A SIGTERM while workers render or train leaves no process behind, and the next run completes what is left.
    repro = workplace.start("dvc", "repro")
    assert wait_for(lambda: list((place.parent / "cache").glob("pool.sqlite*")) or repro.poll() is not None, 120)
    assert repro.poll() is None, repro.communicate()
    assert len(workplace.processes()) > 1
    repro.terminate()
    repro.communicate()
    assert wait_for(lambda: not workplace.processes(), 15), workplace.processes()

    workplace.run("dvc", "repro")
    assert (place / "data/report.html").is_file()
    assert (place / ".dvc/plots/arms.json").is_file()
    assert not workplace.processes()


def test_an_update_of_the_package_runs_the_stages_whose_code_changed(workplace: Workplace, site: Path) -> None:
    """And no others: partition does not use the code of the report."""
    changed = site / "pipeline/reporting/verdict.py"
    changed.write_text(changed.read_text() + "# another version\n")
    out, err = workplace.run("dvc", "repro")
    assert (
        "fingerprint of the code: evaluate, report changed" in err or "fingerprint of the code: report changed" in err
    )
    assert "Stage 'partition' didn't change, skipping" in out
    assert "Running stage 'report'" in out
