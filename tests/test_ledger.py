"""The ledger: whole lines whatever happens, and the sums of what was spent."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline import energy, ledger
from pipeline.workspace import Workspace

WRITER = """
import sys, time
from pathlib import Path
from pipeline import ledger

ledger._EVERY = 0.0
with ledger.account(Path(sys.argv[1]), sys.argv[2]):
    for _ in range(int(sys.argv[3])):
        ledger.spend(images_rendered=3)
"""


def writer(path: Path, stage: str, times: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", WRITER, str(path), stage, str(times)])


def test_a_command_writes_what_it_spent_also_if_it_fails(tmp_path: Path) -> None:
    path = tmp_path / "new" / "ledger.jsonl"
    with contextlib.suppress(KeyboardInterrupt), ledger.account(path, "generate", ["cpu", "cpu"], reported=True):
        ledger.spend(1.5, images_rendered=64)
        ledger.spend(0.5, images_rendered=36, images_reused=7)
        raise KeyboardInterrupt
    (entry,) = ledger.read(path).entries
    assert (entry.stage, entry.kind, entry.workers, entry.device_seconds) == ("generate", "cpu", 2, 2.0)
    assert entry.counts == {"images_rendered": 100, "images_reused": 7}
    assert entry.hardware == energy.hardware("cpu")
    assert abs(entry.at - time.time()) < 5
    if entry.method.endswith("W x device-seconds"):
        assert entry.joules == 2.0 * float(entry.method.split()[0])


def test_where_nobody_reports_device_seconds_they_are_those_that_passed(tmp_path: Path) -> None:
    with ledger.account(tmp_path / "ledger.jsonl", "partition"):
        ledger.spend(1000.0)
    (entry,) = ledger.read(tmp_path / "ledger.jsonl").entries
    assert entry.device_seconds == entry.seconds < 100


def test_lines_come_while_the_command_runs_and_add_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line a second: what is spent within one is in the next line, and nothing is in two."""
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    path, seen = tmp_path / "ledger.jsonl", list[int]()
    with ledger.account(path, "generate", reported=True):
        for _ in range(10):
            now[0] += 0.4
            ledger.spend(0.25, images_rendered=1)
            seen.append(len(ledger.read(path).entries))
    entries = ledger.read(path).entries
    assert seen == [0, 0, 1, 1, 1, 2, 2, 2, 3, 3]
    assert [one.counts["images_rendered"] for one in entries] == [3, 3, 3, 1]
    assert sum(one.seconds for one in entries) == pytest.approx(4.0)
    assert sum(one.device_seconds for one in entries) == 2.5


def test_without_an_account_nothing_is_written_and_an_inner_one_is_its_own(tmp_path: Path) -> None:
    ledger.spend(images_rendered=1)
    with ledger.account(tmp_path / "outer", "regenerate"):
        with ledger.account(tmp_path / "inner", "generate"):
            ledger.spend(images_rendered=2)
        ledger.spend(images_rendered=4)
    counts = {name: ledger.read(tmp_path / name).entries[0].counts for name in ("outer", "inner")}
    assert counts == {"outer": {"images_rendered": 4}, "inner": {"images_rendered": 2}}


def test_a_function_of_a_workspace_has_an_account_under_its_arguments(tmp_path: Path) -> None:
    @ledger.accounted("train {fill} {algorithm}", lambda given: given["devices"])
    def train(workspace: Workspace, fill: str, algorithm: str = "fedavg", devices: tuple[str, ...] = ("cpu",)) -> int:
        """Train."""
        return 7

    workspace = Workspace(tmp_path)
    assert train(workspace, "none") == train(workspace, "none", algorithm="moon", devices=("cpu", "cpu")) == 7
    assert train.__doc__ == "Train."
    found = [(one.stage, one.workers) for one in ledger.read(workspace.ledger).entries]
    assert found == [("train none fedavg", 1), ("train none moon", 2)]


def test_several_processes_write_whole_lines(tmp_path: Path) -> None:
    """Four processes with 100 lines each and one at the end: each line is there once."""
    path = tmp_path / "ledger.jsonl"
    for process in [writer(path, f"stage {number}", 100) for number in range(4)]:
        assert process.wait(timeout=60) == 0
    found = ledger.read(path)
    assert (len(found.entries), found.damaged) == (404, 0)
    for number in range(4):
        own = [one for one in found.entries if one.stage == f"stage {number}"]
        assert sum(one.counts.get("images_rendered", 0) for one in own) == 300


def test_a_killed_command_leaves_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    process = writer(path, "generate", 10**9)
    while not path.exists() or path.stat().st_size < 10_000:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=60)
    found = ledger.read(path)
    assert found.damaged == 0
    assert all(one.counts == {"images_rendered": 3} for one in found.entries)


def test_a_line_that_was_cut_off_spoils_no_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As a full disk leaves it; and lines that somebody changed: each is counted, and all are said once."""
    path = tmp_path / "ledger.jsonl"
    with ledger.account(path, "generate"):
        ledger.spend(images_rendered=1)
    whole = path.read_bytes()
    others = [whole[:40], whole.replace(b'"cpu"', b"5", 1), b"\xff", whole.replace(b"images_rendered", b"\x00")]
    path.write_bytes(whole + b"".join(one.strip() + b"\n" for one in others[1:]) + others[0])
    with ledger.account(path, "train"):
        pass
    found = ledger.read(path)
    assert [one.stage for one in found.entries] == ["generate", "train"]
    assert found.damaged == 4
    assert capsys.readouterr().err == f"{path}: 4 of 6 lines are damaged, and do not count\n"


def test_a_ledger_that_cannot_be_written_stops_nobody(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "ledger.jsonl").mkdir()
    with ledger.account(tmp_path / "ledger.jsonl", "generate"):
        pass
    assert "ledger.jsonl: what was spent cannot be written (Is a directory)" in capsys.readouterr().err
    assert ledger.read(tmp_path / "missing") == ledger.Ledger(())


def test_a_link_in_its_place_is_not_followed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "other").write_text("precious\n")
    os.symlink(tmp_path / "other", tmp_path / "ledger.jsonl")
    with ledger.account(tmp_path / "ledger.jsonl", "generate"):
        pass
    assert (tmp_path / "other").read_text() == "precious\n"
    assert "cannot be written" in capsys.readouterr().err
