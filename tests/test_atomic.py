import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline import atomic


def write_half_and_fail(path: Path) -> None:
    with atomic.replacing(path) as temporary:
        temporary.write_text("half")
        raise KeyError


def test_text_is_written_into_folders_that_are_made(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "file.txt"
    atomic.write_text(path, "gr\u00fcn\n")
    assert path.read_bytes() == "gr\u00fcn\n".encode()
    assert path.stat().st_mode & 0o777 == 0o644
    assert [p.name for p in path.parent.iterdir()] == ["file.txt"]


def test_an_error_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(KeyError):
        write_half_and_fail(path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_leaves_no_file_where_there_was_none(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        write_half_and_fail(tmp_path / "file")
    assert list(tmp_path.iterdir()) == []


def test_the_file_appears_only_when_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with atomic.replacing(path) as temporary:
        temporary.write_text("new")
        assert temporary.parent == path.parent
        assert path.read_text() == "old"
    assert path.read_text() == "new"


def test_a_killed_writer_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    script = (
        "import os, signal, sys; from pathlib import Path; from pipeline import atomic\n"
        "with atomic.replacing(Path(sys.argv[1])) as temporary:\n"
        "    temporary.write_text('half'); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run([sys.executable, "-c", script, str(path)], cwd=Path(__file__).parents[1], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert path.read_text() == "old"


def test_hard_and_symbolic_links_are_broken_and_not_written_through(tmp_path: Path) -> None:
    kept = tmp_path / "object in a cache"
    kept.write_text("old")
    hard, soft = tmp_path / "hard", tmp_path / "soft"
    os.link(kept, hard)
    soft.symlink_to(kept)
    atomic.write_text(hard, "new")
    atomic.write_text(soft, "new")
    assert kept.read_text() == "old"
    assert hard.read_text() == soft.read_text() == "new"
    assert not soft.is_symlink()


def test_sha256(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"abc" * 100_000)
    assert atomic.sha256(path) == hashlib.sha256(b"abc" * 100_000).hexdigest()
