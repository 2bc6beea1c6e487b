"""Digests of files are remembered, and never believed of a file that changed."""

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pipeline import atomic
from pipeline.data import digests
from pipeline.errors import DataError


def put(folder: Path, name: str, content: bytes) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_bytes(content)
    return path


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take every file for one that was written long ago; its time of change cannot be set back."""
    monkeypatch.setattr(digests, "_SETTLED", -3600.0)


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that were read since."""
    found: list[str] = []
    real = atomic.sha256

    def watched(path: Path) -> str:
        found.append(path.name)
        return real(path)

    monkeypatch.setattr(atomic, "sha256", watched)
    return found


@pytest.mark.usefixtures("settled")
def test_a_file_is_read_once(tmp_path: Path, read: list[str]) -> None:
    files = [put(tmp_path / "set", name, name.encode()) for name in ("a", "b")]
    expected = [hashlib.sha256(name.encode()).hexdigest() for name in ("a", "b")]
    assert digests.of(tmp_path / "set", files) == expected
    assert digests.of(tmp_path / "set", files) == expected
    assert read == ["a", "b"]
    files.append(put(tmp_path / "set", "c", b"c"))
    assert digests.of(tmp_path / "set", files)[:2] == expected
    assert read == ["a", "b", "c"]
    assert digests.of(tmp_path / "set", files[:1]) == expected[:1]
    assert len(digests.of(tmp_path / "set", files)) == 3
    assert read == ["a", "b", "c"]


@pytest.mark.usefixtures("settled")
def test_a_changed_file_is_read_again(tmp_path: Path, read: list[str]) -> None:
    """Also if it has its old size and time: the time of change tells."""
    file = put(tmp_path / "set", "a", b"old")
    before = file.stat()
    digests.of(tmp_path / "set", [file])
    while file.stat().st_ctime_ns == before.st_ctime_ns:
        file.write_bytes(b"new")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert digests.of(tmp_path / "set", [file]) == [hashlib.sha256(b"new").hexdigest()]
    assert read == ["a", "a"]


def test_a_file_just_written_is_not_remembered(tmp_path: Path, read: list[str]) -> None:
    file = put(tmp_path / "set", "a", b"x")
    for _ in range(2):
        digests.of(tmp_path / "set", [file])
    assert read == ["a", "a"]


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize(
    "damage", [b"", b"no JSON", b"[]", b'{"a": 5}', b'{"a": [1, 2, 3, "short"]}', b"\xff", b"[" * 10**5]
)
def test_a_damaged_memory_costs_time_only(tmp_path: Path, cache: Path, read: list[str], damage: bytes) -> None:
    file = put(tmp_path / "set", "a", b"x")
    expected = digests.of(tmp_path / "set", [file])
    [memory] = (cache / "digests").iterdir()
    memory.write_bytes(damage)
    assert digests.of(tmp_path / "set", [file]) == expected
    assert digests.of(tmp_path / "set", [file]) == expected
    assert read == ["a", "a"]


@pytest.mark.usefixtures("settled")
def test_a_cache_that_cannot_be_written_costs_time_only(
    tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cache.write_text("a file where the folder should be")
    file = put(tmp_path / "set", "a", b"x")
    assert digests.of(tmp_path / "set", [file]) == [hashlib.sha256(b"x").hexdigest()]
    assert "cannot be written; the files are read again by the next stage" in capsys.readouterr().err


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot be read \(No such file or directory\): .*gone: restore it"):
        digests.of(tmp_path, [tmp_path / "gone"])


@pytest.mark.usefixtures("settled")
def test_several_write_the_memory_together(tmp_path: Path, cache: Path) -> None:
    def remember(writer: int) -> list[str]:
        files = [put(tmp_path / "set", f"{writer}-{turn}", b"x") for turn in range(5)]
        return [digests.of(tmp_path / "set", files[: turn + 1])[-1] for turn in range(5)]

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(remember, range(4)))
    assert found == [[hashlib.sha256(b"x").hexdigest()] * 5] * 4
    [memory] = (cache / "digests").iterdir()
    assert digests._known(memory)
