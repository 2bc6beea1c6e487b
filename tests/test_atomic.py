import hashlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline import atomic
from pipeline.errors import ArtifactError, PoolError

FIX = "make room or check the rights, then run again"


def write_half_and_fail(path: Path) -> None:
    with atomic.replacing(path) as temporary:
        temporary.write_text("half")
        raise KeyError


def test_text_is_written_into_folders_that_are_made(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "file.txt"
    atomic.write_text(path, "gr\u00fcn\n")
    assert path.read_bytes() == "gr\u00fcn\n".encode()
    assert [p.name for p in path.parent.iterdir()] == ["file.txt"]


def test_files_have_the_rights_that_open_would_give_them(tmp_path: Path, umask: int) -> None:
    (tmp_path / "by open").touch()
    atomic.write_text(tmp_path / "new" / "file", "text")
    os.close(atomic.created(tmp_path / "lock"))
    for name in ("by open", "new/file", "lock"):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o666 & ~umask
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o777 & ~umask


def test_a_file_that_is_there_is_opened_and_a_link_is_not(tmp_path: Path) -> None:
    victim, link = tmp_path / "victim", tmp_path / "link"
    victim.write_text("precious")
    os.close(atomic.created(victim))
    for target in (victim, tmp_path / "nowhere"):
        link.symlink_to(target)
        with pytest.raises(OSError, match="symbolic links"):
            atomic.created(link)
        link.unlink()
    assert victim.read_text() == "precious"
    assert list(tmp_path.iterdir()) == [victim]


def test_a_temporary_file_takes_no_place_that_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its name cannot be guessed; if it could, whoever put a link there would get an error instead of the text."""
    victim = tmp_path / "victim"
    victim.write_text("precious")
    monkeypatch.setattr("secrets.token_hex", lambda _: "guessed")
    (tmp_path / ".file.guessed").symlink_to(victim)
    with pytest.raises(ArtifactError, match="File exists"):
        atomic.write_text(tmp_path / "file", "text")
    assert victim.read_text() == "precious"
    assert sorted(path.name for path in tmp_path.iterdir()) == [".file.guessed", "victim"]


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


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own with room for one megabyte."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(place)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("this system does not let this user mount a file system")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk_is_one_line_and_leaves_the_old_file(small_disk: Path) -> None:
    path = small_disk / "file"
    atomic.write_text(path, "old")
    with pytest.raises(ArtifactError) as caught:
        atomic.write_text(path, "new" * 1_000_000)
    assert str(caught.value) == f"cannot write (No space left on device): {path}: {FIX}"
    assert path.read_text() == "old"
    assert list(small_disk.iterdir()) == [path]


def test_a_full_disk_leaves_no_half_of_a_shard(small_disk: Path) -> None:
    """Rows of 100 kB, of which ten fit, in files of four: the third file has no room."""
    from pipeline.artifacts import shards

    one = {"label": 0, "class_name": "a", "prompt": "", "negative_prompt": "", "guidance": 1.0, "flags": ""}
    rows = (tuple({**one, "image": os.urandom(100_000)}[name] for name in shards.ANONYMOUS) for _ in range(50))
    with pytest.raises(ArtifactError, match=rf"^cannot write \(No space left on device\): {small_disk}/2: {FIX}$"):
        shards.write(lambda part: small_disk / f"{part}", rows, ["a"], {}, 400_000, shards.ANONYMOUS)
    assert sorted(small_disk.iterdir()) == [small_disk / "0", small_disk / "1"]


def test_a_file_beyond_the_limit_is_one_line(tmp_path: Path) -> None:
    """In a process of its own, whose files may have 1,000 bytes; this needs no rights."""
    script = (
        "import resource, sys; from pathlib import Path; from pipeline import atomic\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try:\n    atomic.write_text(Path(sys.argv[1]), 'x' * 2000)\n"
        "except atomic.ArtifactError as error:\n    print(error)\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "file")]
    said = subprocess.run(command, cwd=Path(__file__).parents[1], check=True, capture_output=True, text=True).stdout
    assert said == f"cannot write (File too large): {tmp_path / 'file'}: {FIX}\n"
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ArtifactError, match=rf"^cannot write \(File exists\): {tmp_path}/file/new: {FIX}$"):
        atomic.write_text(tmp_path / "file" / "new", "text")


def test_errors_that_already_say_what_to_do_pass(tmp_path: Path) -> None:
    with pytest.raises(PoolError, match="what: where: fix"), atomic.replacing(tmp_path / "file"):
        raise PoolError("what", "where", "fix")
    assert list(tmp_path.iterdir()) == []


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
