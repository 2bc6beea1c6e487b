"""What a repository already holds, and which pushes it refuses."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.errors import ArtifactError, HubError
from pipeline.hub.options import PushOptions
from tests.hub.publishing import (
    ALL,
    ANONYMOUS,
    BESIDE,
    FILES,
    REPO,
    SENDING,
    TOKEN,
    push,
    rewrite,
    sent,
)
from tests.hub.server import Hub


@pytest.mark.parametrize("content", [b"{}", b"[]", b"null", b"\xff", b'{"anonymous": 1}'])
def test_a_manifest_that_is_not_ours_is_not_replaced(hub: Hub, project: Path, content: bytes) -> None:
    push(ALL)
    hub.overwrite(REPO, "manifest.json", content)
    for clients in ((), (1,)):
        with pytest.raises(
            HubError, match=r"manifest.json is damaged or not written by gen-fedsd .*: ada/fill: its owner"
        ):
            push(replace(ALL, clients=clients))
    assert hub.tree(REPO)["manifest.json"] == content


@pytest.mark.parametrize("path", ["README.md", "contact-sheet.png", "data/class-00000.parquet"])
def test_a_repository_that_was_never_ours_is_left_alone(hub: Hub, project: Path, path: str) -> None:
    push(PushOptions("ada/other"))
    for name in {*hub.tree("ada/other")} - {".gitattributes"}:
        hub.overwrite("ada/other", name, None)
    hub.overwrite("ada/other", path, b"mine")
    with pytest.raises(HubError, match=rf"replace files that gen-fedsd did not publish \({path}\): ada/other: push"):
        push(PushOptions("ada/other"))
    assert hub.tree("ada/other")[path] == b"mine"
    hub.overwrite("ada/other", path, None)
    assert "8 files to upload" in push(PushOptions("ada/other"))


def test_public_only_when_asked_for(hub: Hub, project: Path) -> None:
    push(replace(ALL, public=True))
    assert not hub.repos[REPO].private
    rewrite(0, slice(0, 1))
    hub.requests.clear()
    with pytest.raises(HubError, match=f"this repository is public: {REPO}: give --public"):
        push(ALL)
    assert [seen.route for seen in hub.requests if seen.route in SENDING] == []
    assert "(public): 4 files" in push(replace(ALL, public=True))
    other = replace(ALL, repo_id="ada/private")
    push(other)
    assert "(private): nothing to do" in push(replace(other, public=True))
    assert hub.repos["ada/private"].private


def test_a_repository_that_becomes_public_between_snapshot_and_creation(hub: Hub, project: Path) -> None:
    def stranger() -> None:
        import huggingface_hub

        huggingface_hub.HfApi(token=TOKEN).create_repo(REPO, repo_type="dataset", private=False)

    hub.fail("create", stranger)
    with pytest.raises(HubError, match="this repository is public"):
        push(ALL)
    assert hub.count("lfs-put") == 0


def test_a_repository_that_somebody_fills_between_snapshot_and_creation(hub: Hub, project: Path) -> None:
    hub.fail("create", lambda: push(ALL))
    with pytest.raises(HubError, match="its history keeps files by client"):
        push(ANONYMOUS)


@pytest.mark.parametrize("deleted", [(), FILES, FILES | BESIDE])
def test_what_was_published_by_client_does_not_become_anonymous(hub: Hub, project: Path, deleted: set[str]) -> None:
    """Whatever is left of it at the head: the history keeps it all."""
    push(replace(ALL, tag="v1"))
    for path in deleted:
        hub.overwrite(REPO, path, None)
    with pytest.raises(HubError, match=r"its history keeps files by client: ada/fill: push --anonymous to a new"):
        push(ANONYMOUS)


def test_a_squashed_history_hides_no_files_by_client(hub: Hub, project: Path) -> None:
    push(ALL)
    hub.repos[REPO].commits[-1] = replace(hub.repos[REPO].head, summary="Super-squash branch 'main'")
    with pytest.raises(HubError, match="it was published client by client: ada/fill: push to a new repository"):
        push(ANONYMOUS)


def test_forgetting_that_it_is_anonymous_reveals_no_client(hub: Hub, project: Path) -> None:
    push(ANONYMOUS)
    before = hub.tree(REPO)
    for clients in ((), (1,)):
        with pytest.raises(HubError, match="it was published with --anonymous: ada/fill: push to a new repository"):
            push(replace(ALL, clients=clients))
    assert hub.tree(REPO) == before


def test_tags(hub: Hub, project: Path) -> None:
    assert push(replace(ALL, tag="v1")).endswith(", tagged v1")
    first = hub.repos[REPO].head.id
    assert hub.repos[REPO].tags["v1"] == first
    assert push(replace(ALL, tag="v1")).endswith("files are there, tagged v1")
    assert push(replace(ALL, tag="v1.0")).endswith("files are there, tagged v1.0")
    rewrite(0, slice(0, 1))
    hub.requests.clear()
    for dry_run in (True, False):
        with pytest.raises(HubError, match=rf"the tag v1 is taken by commit {first[:12]}: {REPO}: choose another"):
            push(replace(ALL, tag="v1", dry_run=dry_run))
    assert sent(hub) == 0
    push(replace(ALL, tag="v2"))
    assert hub.repos[REPO].tags["v2"] == hub.repos[REPO].head.id != first


def test_one_client_needs_a_publication_of_the_same_recipe(hub: Hub, project: Path) -> None:
    with pytest.raises(HubError, match=f"nothing is published there yet: {REPO}: push all clients first"):
        push(replace(ALL, clients=(1,)))
    assert REPO not in hub.repos
    push(ALL)
    with pytest.raises(ArtifactError, match=r"no client 4: data/manifest.json: clients are 0 to 3"):
        push(replace(ALL, clients=(4,)))
    published = json.loads(hub.tree(REPO)["manifest.json"])
    for change in ({"sharing": "common"}, {"recipe_text": {**published["recipe_text"], "steps": 999}}):
        hub.overwrite(REPO, "manifest.json", json.dumps({**published, **change}).encode())
        with pytest.raises(HubError, match="published with another recipe, another gate or other classes"):
            push(replace(ALL, clients=(1,)))
    hub.overwrite(REPO, "manifest.json", None)
    with pytest.raises(HubError, match="nothing is published there yet"):
        push(replace(ALL, clients=(1,)))
