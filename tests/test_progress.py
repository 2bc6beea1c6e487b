import os
import pty
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline import progress

ROOT = Path(__file__).parents[1]
SCRIPT = """
from pipeline import progress
with progress.bar("generate", 3, "images") as advance:
    advance()
    advance(2, "last note")
print("a result")
"""


def test_say_goes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    progress.say("one line")
    assert capsys.readouterr() == ("", "one line\n")


def test_without_a_terminal_there_are_plain_lines_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.bar("generate", 3, "images") as advance:
        advance()
        assert capsys.readouterr() == ("", "")
        advance(2, "last note")
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("generate: 3/3 images, ")
    assert "last note" in err
    assert err.endswith(" 0 s left\n")
    assert err.count("\n") == 1


def test_what_was_done_before_counts_but_not_in_the_rate(capsys: pytest.CaptureFixture[str]) -> None:
    """One round took at least a hundredth of a second: at most 100 a second, not a million times as many."""
    with progress.bar("train", 1_000_001, "rounds", already=1_000_000) as advance:
        begun = time.monotonic()
        while time.monotonic() < begun + 0.01:
            pass
        advance()
    line = capsys.readouterr().err
    assert line.startswith("train: 1000001/1000001 rounds, ")
    assert float(line.split(", ")[1].removesuffix(" rounds/s")) <= 100


def test_on_a_terminal_there_is_a_bar_and_stdout_is_left_to_results() -> None:
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT], cwd=ROOT, stdout=subprocess.PIPE, stderr=theirs, env=environment
    ) as process:
        os.close(theirs)
        screen = b""
        try:
            while part := os.read(ours, 4096):
                screen += part
        except OSError:  # how Linux says that the other side closed
            pass
        assert process.stdout is not None
        assert process.stdout.read() == b"a result\n"
    os.close(ours)
    assert process.returncode == 0
    assert "generate" in screen.decode()
    assert "3/3" in screen.decode()
    assert "last note" in screen.decode()
