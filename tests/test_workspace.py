"""The cache: for its user alone, unless told; and no place outside the folder of the experiment."""

import os
from pathlib import Path

import pytest

from pipeline import params
from pipeline.errors import ParameterError, PoolError
from pipeline.generation.pool import Pool
from pipeline.stages import deficits, partition
from pipeline.workspace import Workspace

FIX = "set GEN_FEDSD_CACHE to another folder, or, to trust them all, set GEN_FEDSD_SHARED_CACHE=1"
NOBODY = 65534


def test_a_new_cache_is_for_its_user_alone(cache: Path, umask: int) -> None:
    """So that with any umask nobody else reaches what is in it."""
    Workspace()
    assert cache.stat().st_mode & 0o777 == 0o700
    (cache / "arrays").mkdir()
    (cache / "arrays").chmod(0o777)
    Workspace()


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o775, 0o770, 0o722])
def test_a_cache_that_others_may_write_is_refused_unless_told(
    cache: Path, mode: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.mkdir()
    cache.chmod(mode)
    with pytest.raises(ParameterError) as caught:
        Workspace()
    reason = f"others may write to the cache ({cache} has the mode {mode:04o})"
    assert str(caught.value) == f"{reason}: {cache}: run chmod 700 {cache}, {FIX}"
    monkeypatch.setenv("GEN_FEDSD_SHARED_CACHE", "0")
    with pytest.raises(ParameterError):
        Workspace()
    monkeypatch.setenv("GEN_FEDSD_SHARED_CACHE", "1")
    Workspace()


def test_what_is_in_a_cache_that_others_may_enter_is_looked_at_too(cache: Path) -> None:
    cache.mkdir(mode=0o755)
    (cache / "pool.sqlite").touch()
    (cache / "link").symlink_to("pool.sqlite")  # whose own mode is always 777
    (cache / "runs").mkdir()
    Workspace()
    for name in ("pool.sqlite", "runs"):
        (cache / name).chmod(0o776)
        with pytest.raises(ParameterError, match=f"{name} has the mode 0776.*run chmod 700 {cache}, "):
            Workspace()
        (cache / name).chmod(0o755)
    (cache / "runs").chmod(0o777)
    cache.chmod(0o700)  # as the message says
    Workspace()


@pytest.mark.skipif(os.getuid() != 0, reason="only root may give files away")
def test_the_cache_of_somebody_else_is_refused(cache: Path) -> None:
    cache.mkdir(mode=0o755)
    (cache / "pool.sqlite").touch()
    for name in ("", "pool.sqlite"):
        os.chown(cache / name, NOBODY, NOBODY)
        with pytest.raises(ParameterError, match=f"belongs to user {NOBODY}.*take it over with chown, "):
            Workspace()
        os.chown(cache / name, 0, 0)
    Workspace()


def test_a_cache_that_cannot_be_made_is_reported_by_who_writes_to_it(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    workspace = Workspace(cache=tmp_path / "file" / "cache")
    with pytest.raises(PoolError, match="cannot use the pool"):
        Pool(workspace.pool)


def test_a_lock_that_is_a_link_is_not_followed(workspace: Workspace, tmp_path: Path) -> None:
    """It emptied the file behind it."""
    victim = tmp_path / "victim"
    victim.write_text("precious")
    with Pool(workspace.pool) as pool:
        workspace.pool.with_suffix(".lock").symlink_to(victim)
        with pytest.raises(PoolError, match=r"cannot use the pool \(.*symbolic links"), pool.writing():
            pass
    assert victim.read_text() == "precious"


def test_with_a_private_umask_nobody_else_reads_what_a_client_holds(workspace: Workspace) -> None:
    before = os.umask(0o077)
    try:
        read = params.load(workspace.params)
        partition.run(workspace, read)
        deficits.run(workspace, read)
    finally:
        os.umask(before)
    made = [path for folder in (workspace.data, workspace.cache) for path in folder.rglob("*")]
    assert {workspace.partition, workspace.deficits} <= set(made)
    assert [path for path in made if path.stat().st_mode & 0o077] == []


@pytest.mark.parametrize(
    "name", ["", "../x", "/etc/x", "a/b", "none; touch X", "None", "-x", "a--b", "x\n", "x" * 9 + "\0"]
)
def test_a_name_that_could_lead_elsewhere_has_no_place(name: str) -> None:
    here = Workspace()
    for place in (here.fill, here.fingerprint, lambda of: here.run(of, "fedavg"), lambda of: here.metrics("none", of)):
        with pytest.raises(ParameterError, match="not a name"):
            place(name)
    assert here.run("central-real", "fedavg").name == "central-real-fedavg"
