"""The benchmark of docs/niid-bench.md runs what it says, once, and its table is the one that it prints."""

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import ArtifactError
from pipeline.federated import runs
from pipeline.workspace import Workspace

ROOT = Path(__file__).parents[1]
PROGRAM = ROOT / "benchmarks/niid_bench.py"
CELL = "labels-fedavg"


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The program, with a preset of two rounds of one pass over five clients."""
    spec = importlib.util.spec_from_file_location("niid_bench", PROGRAM)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "niid_bench", module)  # where dataclasses and pickle look for it
    spec.loader.exec_module(module)
    return preset(module, 2)


def preset(module: Any, rounds: int) -> Any:
    train = module.PRESET.train.model_copy(update={"rounds": rounds, "local_epochs": 1})
    partition = module.PRESET.partition.model_copy(update={"clients": 5})
    module.PRESET = module.PRESET.model_copy(update={"train": train, "partition": partition})
    return module


def play(
    module: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str
) -> tuple[int, str]:
    """Run it; return how many rounds it trained, and the table."""
    monkeypatch.setattr(sys, "argv", [str(PROGRAM), *arguments])
    module.main()
    printed = capsys.readouterr()
    done = re.findall(r"train none fedavg: (\d+)/\1 rounds", printed.err)
    return sum(map(int, done)), "\n".join(line for line in printed.out.splitlines() if line.startswith("|"))


def test_the_table_in_the_docs_is_the_one_that_is_printed() -> None:
    done = subprocess.run([sys.executable, str(PROGRAM), "--table"], capture_output=True, text=True, check=True)
    lines = (ROOT / "docs/niid-bench.md").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if line.startswith("|")] == done.stdout.splitlines()
    assert len(done.stdout.splitlines()) == 2 + 8
    assert "not run" not in done.stdout


def test_a_cell_is_run_once_and_again_when_what_decides_it_changes(
    bench: Any, small_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another preset, another version of what a run computes; results are in the cache, and none in docs."""
    shipped, cache = bench.SHIPPED.read_bytes(), Workspace().cache
    asked = ("--data", str(small_data), "--cells", CELL, "--workers", "1")
    rounds, table = play(bench, monkeypatch, capsys, *asked)
    assert rounds == 2
    assert table.count("not run") == 14
    found = json.loads((cache / "niid-bench.json").read_text())
    assert list(found) == [CELL]
    assert len(found[CELL]["accuracy_by_round"]) == 2
    assert sum(found[CELL]["client_sizes"]) == 60
    assert list((cache / "checkpoints").iterdir()) == []
    assert play(bench, monkeypatch, capsys, *asked) == (0, table)
    assert play(bench, monkeypatch, capsys, "--table", str(cache / "niid-bench.json")) == (0, table)
    assert play(preset(bench, 3), monkeypatch, capsys, *asked)[0] == 3
    monkeypatch.setattr(runs, "VERSION", -1)
    assert play(bench, monkeypatch, capsys, *asked)[0] == 3
    assert play(bench, monkeypatch, capsys, *asked, "--results", str(tmp_path / "elsewhere.json"))[0] == 0
    assert (tmp_path / "elsewhere.json").is_file()
    assert bench.SHIPPED.read_bytes() == shipped


def test_a_cell_whose_result_cannot_be_written_is_not_trained_again(
    bench: Any, small_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ("--data", str(small_data), "--cells", CELL, "--workers", "1", "--results", str(tmp_path / "a" / "b"))
    (tmp_path / "a").write_text("a file")
    with pytest.raises(ArtifactError, match="cannot write"):
        play(bench, monkeypatch, capsys, *asked)
    assert "train none fedavg: 2/2 rounds" in capsys.readouterr().err
    (tmp_path / "a").unlink()
    assert play(bench, monkeypatch, capsys, *asked)[0] == 0
