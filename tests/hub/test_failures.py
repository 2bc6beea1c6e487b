"""Broken connections, busy servers, refused tokens: what a push does about them, and what it prints."""

import json
import logging
import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from huggingface_hub import get_session

from pipeline.errors import HubError, PipelineError
from pipeline.hub import api
from pipeline.hub import push as hub_push
from pipeline.hub.options import PushOptions
from tests.hub.publishing import (
    ALL,
    BESIDE,
    FILES,
    REPO,
    TOKEN,
    push,
    rewrite,
)
from tests.hub.server import Hub
from tests.jobs import until


def test_a_repository_that_nobody_sees_once_it_is_made(
    hub: Hub, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.HfApi.create_repo", lambda *_, **__: None)
    with pytest.raises(HubError, match="the new repository cannot be seen: ada/fill: run again"):
        push(ALL)


def test_a_repository_that_somebody_is_creating_right_now(hub: Hub, project: Path, waits: list[float]) -> None:
    """The Hub answers 409 without an address then, which the client does not expect."""
    hub.fail("create", 409)
    assert "8 files to upload" in push(ALL)
    assert waits == [1.0]
    del hub.repos[REPO]
    hub.fail("create", 409, 409, 409, 409)
    with pytest.raises(HubError, match=f"somebody is creating this repository now: {REPO}: try again later"):
        push(ALL)


@pytest.mark.parametrize(
    "route",
    ["whoami", "info", "tree", "refs", "create", "preupload", "lfs-batch", "lfs-put", "lfs-verify", "tag"],
)
@pytest.mark.parametrize("fault", [503, 429, "drop-after"])
def test_a_short_failure_of_any_call_is_waited_out(
    hub: Hub, project: Path, waits: list[float], route: str, fault: int | str
) -> None:
    hub.fail(route, fault, fault)  # type: ignore[arg-type]
    push(replace(ALL, tag="v1"))
    assert hub.count("commit") == 1
    assert set(hub.tree(REPO)) - {".gitattributes"} == FILES | BESIDE
    assert waits
    assert hub.repos[REPO].tags["v1"] == hub.repos[REPO].head.id


@pytest.mark.parametrize(
    "route", ["whoami", "info", "tree", "refs", "create", "preupload", "lfs-batch", "lfs-put", "tag"]
)
def test_a_hub_that_stays_busy_is_one_clear_line(hub: Hub, project: Path, route: str) -> None:
    hub.fail(route, *[503] * 200)
    with pytest.raises(HubError, match=rf"the Hub answered 503.*: {REPO}: try again later; what was sent is kept"):
        push(replace(ALL, tag="v1"))


@pytest.mark.parametrize("fault", [503, 429, "drop"])
def test_a_commit_that_did_not_happen_is_made_again(hub: Hub, project: Path, fault: int | str) -> None:
    hub.fail("commit", fault)  # type: ignore[arg-type]
    assert "8 files to upload" in push(ALL)
    assert hub.count("commit") == 2
    assert hub.count("lfs-put") == len({seen.path for seen in hub.requests if seen.route == "lfs-put"})
    assert set(hub.tree(REPO)) - {".gitattributes"} == FILES | BESIDE


def test_a_commit_that_happened_though_the_connection_broke_is_found(hub: Hub, project: Path) -> None:
    hub.fail("commit", "drop-after")
    assert push(replace(ALL, tag="v1")) == f"{REPO} (private): nothing to do, all 8 files are there, tagged v1"
    assert hub.count("commit") == 1


def test_a_commit_that_the_hub_never_answers_is_given_up_and_found(
    hub: Hub, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the commit, which the Hub answers when the push has given it up, has a short timeout; then it is made."""
    gate = threading.Event()

    def impatient(request: Any) -> None:  # of the HTTP library that huggingface_hub uses
        if "/commit/" in request.url.path:
            request.extensions["timeout"] = dict.fromkeys(request.extensions["timeout"], 0.5)

    def later(_: float) -> None:
        gate.set()
        until(lambda: len(hub.repos[REPO].commits) == 2)

    api.Hub(REPO)  # sets the client up
    hooks = get_session().event_hooks
    monkeypatch.setitem(hooks, "request", [*hooks["request"], impatient])
    monkeypatch.setattr(hub_push, "time", SimpleNamespace(sleep=later))
    hub.fail("commit", gate.wait)
    push(ALL)
    assert gate.is_set()
    assert hub.count("commit") == 1
    assert len(hub.repos[REPO].commits) == 2  # the Hub's own first one, and ours
    assert set(hub.tree(REPO)) - {".gitattributes"} == FILES | BESIDE


def away_for_one(hub: Hub) -> None:
    """Let the first sending of files meet a store that nobody answers at."""
    store = hub.store

    def away() -> None:
        hub.store = "http://127.0.0.1:9"

    def back() -> None:
        hub.store = store

    hub.fail("lfs-batch", away, back)


def test_a_store_that_is_away_for_a_while(hub: Hub, project: Path, waits: list[float]) -> None:
    away_for_one(hub)
    push(ALL)
    assert 1.0 in waits
    assert set(hub.tree(REPO)) - {".gitattributes"} == FILES | BESIDE


def test_commits_that_keep_failing_are_one_clear_line(hub: Hub, project: Path) -> None:
    hub.fail("commit", "drop", "drop", "drop", "drop", "drop")
    with pytest.raises(
        HubError, match=f"the commit may not have been made: the connection to the Hub failed .*: {REPO}: run again"
    ):
        push(ALL)


@pytest.mark.parametrize("status", [412, 409, None])
def test_a_head_that_moved_is_compared_again_once(hub: Hub, project: Path, status: int | None) -> None:
    def stranger() -> None:
        hub.overwrite(REPO, "notes.txt", b"mine")

    fault = stranger if status is None else status
    hub.fail("commit", fault)
    push(ALL)
    assert hub.count("commit") == 2
    assert (set(hub.tree(REPO)) - {".gitattributes"}) >= FILES | BESIDE
    rewrite(0, slice(0, 1))
    hub.fail("commit", fault, fault)
    with pytest.raises(HubError, match=f"the repository changed twice during the push: {REPO}: .* run again"):
        push(ALL)


def test_tokens(hub: Hub, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(token: str | None, said: str) -> None:
        monkeypatch.setenv("HF_TOKEN", token or "")
        with pytest.raises(HubError, match=said):
            push(ALL)

    fails(None, "not logged in to the Hugging Face Hub: ada/fill: log in with: hf auth login")
    fails("hf_nonsense", r"the Hub does not accept this token \(401\): ada/fill: log in")
    fails(
        "hf_reads",
        r"this token may not do that \(403\); the Hub says: .*: ada/fill: use a token with the right to write",
    )
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    push(ALL)
    rewrite(0, slice(0, 1))
    fails("hf_reads", r"this token may not do that \(403\)")
    fails("hf_bob", "no such repository|may not do that")


def test_a_card_that_the_hub_refuses(hub: Hub, project: Path) -> None:
    hub.fail("validate-yaml", 400)
    with pytest.raises(HubError, match="the Hub does not accept the card: ada/fill: check --license"):
        push(replace(ALL, licence="mine"))
    assert len(hub.repos[REPO].commits) == 1


def test_answers_that_cannot_be_used(hub: Hub, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A login page of a network, a token with an invisible character, a cache in which nothing may be written."""
    push(ALL)
    with monkeypatch.context() as patch:
        for module in ("hf_api", "constants"):
            patch.setattr(f"huggingface_hub.{module}.ENDPOINT", hub.store + "/" + "0" * 64 + "?", raising=False)
        patch.setattr("huggingface_hub.HfApi.whoami", lambda _: json.loads("<html>"))
        with pytest.raises(HubError, match="the Hub's answer cannot be read: ada/fill: check HF_ENDPOINT"):
            push(ALL)
    with monkeypatch.context() as patch:
        patch.setenv("HF_TOKEN", TOKEN + "\u200b")
        with pytest.raises(HubError, match="the token contains a character that tokens never have: ada/fill: log in"):
            push(ALL)
    (project / "file").touch()
    with monkeypatch.context() as patch:
        patch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(project / "file/cache"))
        with pytest.raises(HubError, match=r"Not a directory: .*file.*: check the file or folder"):
            push(ALL)


def test_a_name_that_is_not_one(hub: Hub, project: Path) -> None:
    with pytest.raises(HubError, match="not a repository name: a/b/c: give --repo-id OWNER/NAME"):
        push(PushOptions("a/b/c"))


@pytest.mark.parametrize("route", ["whoami", "info", "tree", "preupload", "lfs-batch", "lfs-put", "commit", "tag"])
@pytest.mark.parametrize("fault", [400, 403, "drop"])
@pytest.mark.parametrize("verbose", [False, True])
def test_no_token_and_no_signed_address_is_ever_shown(
    hub: Hub,
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    route: str,
    fault: int | str,
    verbose: bool,
) -> None:
    """Nor the token if somebody makes the client log everything."""
    if verbose:
        logger = logging.getLogger("huggingface_hub")
        monkeypatch.setattr(logger, "setLevel", lambda _: None)
        monkeypatch.setattr(logger, "level", logging.DEBUG)
    hub.fail(route, *[fault] * 20)  # type: ignore[arg-type]
    try:
        said = push(replace(ALL, tag="v1"))
    except PipelineError as error:
        said = str(error)
    shown = said + "".join(capfd.readouterr())
    assert TOKEN not in shown
    assert verbose or hub.store not in shown
    assert "\n" not in said
