"""A push compares, sends what differs, and makes one commit of it."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline import params
from pipeline.commands import regenerate
from pipeline.errors import ArtifactError, ParameterError
from pipeline.workspace import Workspace
from tests.hub.publishing import (
    ALL,
    BESIDE,
    FILES,
    REPO,
    SENDING,
    contents,
    push,
    read_manifest,
    rewrite,
    sent,
    shard_path,
)
from tests.hub.server import Hub


def test_one_private_commit_with_the_bytes_that_dvc_tracks(hub: Hub, project: Path) -> None:
    before = contents(project)
    printed = push(ALL)
    repository = hub.repos[REPO]
    tree = hub.tree(REPO)
    assert repository.private
    assert hub.count("commit") == 1
    assert set(tree) - {".gitattributes"} == FILES | BESIDE
    for client in range(4):
        path = shard_path(client)
        assert tree[f"data/000/{path.name}"] == path.read_bytes()
    assert tree["manifest.json"] == Workspace().manifest.read_bytes()
    assert tree["contact-sheet.png"].startswith(b"\x89PNG")
    assert contents(project) == before
    assert re.fullmatch(
        rf"{REPO} \(private\): 8 files to upload \([\d.]+ MB\), 0 to delete, 0 there already; commit [0-9a-f]{{12}}",
        printed,
    )
    images = read_manifest().rows
    assert repository.commits[-1].summary == f"Publish {images} images of 4 clients"


def test_a_push_without_changes_sends_nothing_and_commits_nothing(hub: Hub, project: Path) -> None:
    push(ALL)
    hub.requests.clear()
    assert push(ALL) == f"{REPO} (private): nothing to do, all 8 files are there"
    assert [seen.route for seen in hub.requests if seen.route in SENDING] == []
    assert sent(hub) == 0


def test_only_what_changed_is_sent_and_only_our_stale_files_are_deleted(hub: Hub, project: Path) -> None:
    push(ALL)
    strange = ("notes.txt", "data/000/client-00001.txt", "data/000/notes.parquet", "client-00009.parquet")
    for path in strange:
        hub.overwrite(REPO, path, b"mine")
    hub.overwrite(REPO, "data/000/client-00009.part-001.parquet", b"stale")
    rewrite(2, slice(0, 5))
    hub.requests.clear()
    printed = push(ALL)
    assert "4 files to upload" in printed  # the shard, the manifest, the card with its table, the contact sheet
    assert "1 to delete, 4 there already" in printed
    tree = hub.tree(REPO)
    assert set(tree) - {".gitattributes"} == FILES | BESIDE | set(strange)
    assert tree["data/000/client-00002.parquet"] == shard_path(2).read_bytes()
    assert hub.count("lfs-put") == 2  # the shard and the contact sheet; the others are text
    assert hub.count("commit") == 1


def test_one_client_alone(hub: Hub, project: Path) -> None:
    push(ALL)
    first = hub.tree(REPO)
    known = read_manifest()
    rewrite(1, slice(0, 4))
    rewrite(3, slice(0, 2))
    printed = push(replace(ALL, clients=(1,)))
    tree = hub.tree(REPO)
    assert {path for path in tree if tree[path] != first.get(path)} == {
        "README.md",
        "manifest.json",
        "data/000/client-00001.parquet",
    }
    assert "0 to delete" in printed
    there, here = json.loads(tree["manifest.json"]), json.loads(Workspace().manifest.read_text())
    assert there["shards"][1] == here["shards"][1]
    assert there["shards"][3]["files"][0]["sha256"] == known.shard(3).files[0].sha256
    assert hub.repos[REPO].commits[-1].summary == "Update client 1"
    counts = known.shard(3).counts
    assert f"| 3 | {' | '.join(map(str, counts))} | {sum(counts)} |" in tree["README.md"].decode()
    assert "| 1 | " in tree["README.md"].decode()
    push(replace(ALL, clients=(1, 3)))
    assert hub.repos[REPO].commits[-1].summary == "Update client 1, 3"
    assert hub.tree(REPO)["manifest.json"] == Workspace().manifest.read_bytes()


def test_a_dry_run_changes_nothing(hub: Hub, project: Path) -> None:
    printed = push(replace(ALL, dry_run=True))
    assert REPO not in hub.repos
    assert printed.startswith(f"{REPO} (a new private repository): 8 files to upload")
    assert f"  upload data/000/client-00000.parquet ({shard_path(0).stat().st_size:,} bytes)" in printed.splitlines()
    push(ALL)
    hub.overwrite(REPO, "data/000/client-00009.parquet", b"stale")
    head = hub.repos[REPO].head.id
    hub.requests.clear()
    printed = push(replace(ALL, dry_run=True, tag="v1"))
    assert printed.splitlines()[1:] == ["  delete data/000/client-00009.parquet"]
    assert hub.repos[REPO].head.id == head
    assert [seen.route for seen in hub.requests if seen.route in SENDING] == []


def test_a_name_without_an_owner_is_mine(hub: Hub, project: Path) -> None:
    assert push(replace(ALL, repo_id="fill")).startswith(f"{REPO} (private): 8 files")


def test_what_is_not_as_the_manifest_says_is_not_published(hub: Hub, project: Path) -> None:
    shard_path(2).write_bytes(shard_path(1).read_bytes())
    with pytest.raises(ArtifactError, match=f"shard differs from the manifest: {shard_path(2)}"):
        push(ALL)
    assert hub.requests == []
    with pytest.raises(ParameterError, match="--client and --anonymous exclude each other"):
        push(replace(ALL, clients=(1,), anonymous=True))
    for client in range(4):
        shard_path(client).write_bytes(shard_path(client).read_bytes())
        rewrite(client, slice(0, 0))
    with pytest.raises(ArtifactError, match="no synthetic image to publish"):
        push(ALL)


def test_a_crash_between_sending_and_commit_sends_nothing_again(
    hub: Hub, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Crash(Exception):
        pass

    def crash(*_: object, **__: object) -> None:
        raise Crash

    with monkeypatch.context() as patch:
        patch.setattr("huggingface_hub.HfApi.create_commit", crash)
        with pytest.raises(Crash):
            push(ALL)
    assert hub.count("lfs-put") == 5
    assert set(hub.tree(REPO)) <= {".gitattributes"}
    hub.requests.clear()
    push(ALL)
    assert hub.count("lfs-put") == 0
    assert set(hub.tree(REPO)) - {".gitattributes"} == FILES | BESIDE


def test_a_shard_that_changes_during_the_push_is_not_published(hub: Hub, project: Path) -> None:
    hub.fail("create", lambda: shard_path(2).write_bytes(shard_path(1).read_bytes()))
    with pytest.raises(ArtifactError, match=f"the file changed during the push: {shard_path(2)}: run again"):
        push(ALL)
    assert hub.count("lfs-put") == hub.count("commit") == 0


def test_regenerating_and_pushing_one_client_changes_nothing(hub: Hub, project: Path) -> None:
    push(ALL)
    workspace = Workspace()
    done = regenerate.regenerate(workspace, params.load(workspace.params), ["cpu"], 2, fresh=True)
    assert done.next_step is None
    hub.requests.clear()
    assert "nothing to do" in push(replace(ALL, clients=(2,)))
    assert sent(hub) == 0
