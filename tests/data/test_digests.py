import hashlib
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from pipeline import atomic
from pipeline.data import digests

OLD = 1_600_000_000
"""Seconds since 1970: a time that is long past."""


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files whose bytes were read, in order; times of change look as old as they are set."""
    names: list[str] = []
    real = atomic.sha256

    def counted(path: Path) -> str:
        names.append(path.name)
        return real(path)

    monkeypatch.setattr(atomic, "sha256", counted)
    monkeypatch.setattr(digests, "_SETTLED", -1)  # the time of a file's last change cannot be set back
    return names


def write(path: Path, text: str, seconds: int = OLD) -> str:
    path.write_text(text)
    os.utime(path, (seconds, seconds))
    return hashlib.sha256(text.encode()).hexdigest()


def test_each_file_is_read_once_in_whatever_order_and_as_often_as_it_is_asked_for(
    tmp_path: Path, cache: Path, read: list[str]
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    wanted = {first: write(first, "a"), second: write(second, "b")}
    assert digests.sha256([second, first, second], cache) == [wanted[second], wanted[first], wanted[second]]
    assert sorted(read) == ["first", "second"]
    assert digests.sha256([first, second], cache) == [wanted[first], wanted[second]]
    assert len(read) == 2
    assert digests.sha256([], cache) == []


def test_a_file_that_changed_is_read_again_even_at_the_same_size_and_time(
    tmp_path: Path, cache: Path, read: list[str]
) -> None:
    path = tmp_path / "file"
    before, first = write(path, "aaaa"), path.stat().st_ctime_ns
    assert digests.sha256([path], cache) == [before]
    after = write(path, "bbbb")
    while path.stat().st_ctime_ns == first:  # the time of its last change, which nobody can set
        after = write(path, "bbbb")
    assert digests.sha256([path], cache) == [after]
    (tmp_path / "new").write_text("cccc")
    os.utime(tmp_path / "new", (OLD, OLD))
    (tmp_path / "new").replace(path)
    assert digests.sha256([path], cache) == [hashlib.sha256(b"cccc").hexdigest()]
    assert read == ["file"] * 3


def test_a_file_that_was_just_written_is_not_remembered(tmp_path: Path, cache: Path) -> None:
    """Within the resolution of a file system's clock a second change would not show."""
    path = tmp_path / "file"
    path.write_text("a")
    digests.sha256([path], cache)
    with closing(sqlite3.connect(cache / digests.NAME)) as database:
        assert database.execute("select count(*) from digests").fetchone() == (0,)


def test_a_cache_that_cannot_be_used_is_named_and_costs_time_only(
    tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "file"
    wanted = write(path, "a")
    cache.mkdir()
    (cache / digests.NAME).write_bytes(b"no database" * 100)
    assert digests.sha256([path], cache) == [wanted]
    assert "delete it" in capsys.readouterr().err


def test_a_missing_file_is_an_oserror(tmp_path: Path, cache: Path) -> None:
    with pytest.raises(FileNotFoundError):
        digests.sha256([tmp_path / "none"], cache)


def test_many_bytes_are_read_by_threads_with_a_bar(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(digests, "_SHOWN", 3)
    paths = [tmp_path / str(number) for number in range(5)]
    wanted = [write(path, path.name) for path in paths]
    assert digests.sha256(paths, cache) == wanted
    assert "read files: 5/5 files" in capsys.readouterr().err
