import json
import logging
import re
import threading
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from datasets import load_dataset

from pipeline import params, paths
from pipeline.artifacts import manifest
from pipeline.errors import ArtifactError, HubError, ParameterError, PipelineError
from pipeline.federated.experiment import Crew
from pipeline.generation import inspect
from pipeline.hub import api, card
from pipeline.hub import push as push_module
from pipeline.hub.push import Options, push
from pipeline.stages import train
from tests.hub.cards import findings
from tests.hub.conftest import REPO, TOKEN, generate_project
from tests.hub.server import Hub

ALL = Options(REPO)
FILES = {f"data/000/client-{client:05}.parquet" for client in range(4)}
BESIDE = {"README.md", "manifest.json", "contact-sheet.png"}
SENDING = ("create", "preupload", "lfs-batch", "lfs-put", "lfs-verify", "commit", "validate-yaml", "tag")


def sent(hub: Hub) -> int:
    """Bytes of large files and of commits that came in."""
    return sum(seen.size for seen in hub.requests if seen.route in ("lfs-put", "commit"))


def rewrite(client: int, rows: slice) -> None:
    """Keep some rows of a client's shard, and its line in the manifest true."""
    known = manifest.load()
    shard = known.shard(client)
    table = pq.read_table(shard.paths[0])[rows]
    with pq.ParquetWriter(shard.paths[0], table.schema) as writer:
        if len(table):
            writer.write_table(table)
    counts = tuple(table["label"].to_pylist().count(label) for label in range(3))
    file = manifest.File.of(shard.paths[0], len(table))
    known.with_shard(replace(shard, counts=counts, files=(file,))).save()


def test_one_private_commit_with_the_bytes_that_dvc_tracks(hub: Hub, project: Path) -> None:
    before = {path: path.read_bytes() for path in project.rglob("*") if path.is_file()}
    told = push(ALL)
    repository = hub.repos[REPO]
    tree = hub.tree(REPO)
    assert repository.private
    assert hub.count("commit") == 1
    assert set(tree) - {".gitattributes"} == FILES | BESIDE
    for shard in manifest.load().shards:
        assert tree[f"data/000/{shard.paths[0].name}"] == shard.paths[0].read_bytes()
    assert tree["manifest.json"] == paths.MANIFEST.read_bytes()
    assert tree["contact-sheet.png"].startswith(b"\x89PNG")
    assert {path: path.read_bytes() for path in project.rglob("*") if path.is_file()} == before
    assert re.fullmatch(
        rf"{REPO} \(private\): 7 files to upload \([\d.]+ MB\), 0 to delete, 0 there already; commit [0-9a-f]{{12}}",
        told,
    )
    images = manifest.load().rows
    assert repository.commits[-1].summary == f"Publish {images} images of 4 clients"


def test_a_push_without_changes_sends_nothing_and_commits_nothing(hub: Hub, project: Path) -> None:
    push(ALL)
    hub.requests.clear()
    assert push(ALL) == f"{REPO} (private): nothing to do, all 7 files are there"
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
    told = push(ALL)
    assert "4 files to upload" in told  # the shard, the manifest, the card with its table, the contact sheet
    assert "1 to delete, 3 there already" in told
    tree = hub.tree(REPO)
    assert set(tree) - {".gitattributes"} == FILES | BESIDE | set(strange)
    assert tree["data/000/client-00002.parquet"] == paths.shard(2).read_bytes()
    assert hub.count("lfs-put") == 2  # the shard and the contact sheet; the others are text
    assert hub.count("commit") == 1


def test_one_client_alone(hub: Hub, project: Path) -> None:
    push(ALL)
    first = hub.tree(REPO)
    known = manifest.load()
    rewrite(1, slice(0, 4))
    rewrite(3, slice(0, 2))
    told = push(replace(ALL, clients=(1,)))
    tree = hub.tree(REPO)
    assert {path for path in tree if tree[path] != first.get(path)} == {
        "README.md",
        "manifest.json",
        "data/000/client-00001.parquet",
    }
    assert "0 to delete" in told
    there, here = json.loads(tree["manifest.json"]), json.loads(paths.MANIFEST.read_text())
    assert there["shards"][1] == here["shards"][1]
    assert there["shards"][3]["files"][0]["sha256"] == known.shard(3).files[0].sha256
    assert hub.repos[REPO].commits[-1].summary == "Update client 1"
    counts = known.shard(3).counts
    assert f"| 3 | {' | '.join(map(str, counts))} | {sum(counts)} |" in tree["README.md"].decode()
    assert "| 1 | " in tree["README.md"].decode()
    push(replace(ALL, clients=(1, 3)))
    assert hub.repos[REPO].commits[-1].summary == "Update client 1, 3"
    assert hub.tree(REPO)["manifest.json"] == paths.MANIFEST.read_bytes()


def test_one_client_needs_a_publication_of_the_same_recipe(hub: Hub, project: Path) -> None:
    with pytest.raises(HubError, match=f"nothing is published there yet: {REPO}: push all clients first"):
        push(replace(ALL, clients=(1,)))
    assert REPO not in hub.repos
    push(ALL)
    manifest.Manifest(**{**manifest.load().__dict__, "sharing": "common"}).save()
    with pytest.raises(HubError, match="published with another recipe or other classes"):
        push(replace(ALL, clients=(1,)))
    with pytest.raises(ArtifactError, match=r"no client 4: data/manifest.json: clients are 0 to 3"):
        push(replace(ALL, clients=(4,)))
    edited = json.loads(hub.tree(REPO)["manifest.json"])
    edited["recipe_text"]["steps"] = 999
    hub.overwrite(REPO, "manifest.json", json.dumps(edited).encode())
    with pytest.raises(HubError, match="published with another recipe or other classes"):
        push(replace(ALL, clients=(1,)))
    hub.overwrite(REPO, "manifest.json", None)
    with pytest.raises(HubError, match="nothing is published there yet"):
        push(replace(ALL, clients=(1,)))


@pytest.mark.parametrize("content", [b"{}", b"[]", b"null", b"\xff", b'{"anonymous": 1}'])
def test_a_manifest_that_is_not_ours_is_not_replaced(hub: Hub, project: Path, content: bytes) -> None:
    push(ALL)
    hub.overwrite(REPO, "manifest.json", content)
    for clients in ((), (1,)):
        with pytest.raises(HubError, match=r"its manifest.json is damaged or not ours .*: ada/fill: its owner may"):
            push(replace(ALL, clients=clients))
    assert hub.tree(REPO)["manifest.json"] == content


@pytest.mark.parametrize("path", ["README.md", "contact-sheet.png", "data/class-00000.parquet"])
def test_a_repository_that_was_never_ours_is_left_alone(hub: Hub, project: Path, path: str) -> None:
    push(Options("ada/other"))
    for name in {*hub.tree("ada/other")} - {".gitattributes"}:
        hub.overwrite("ada/other", name, None)
    hub.overwrite("ada/other", path, b"mine")
    with pytest.raises(HubError, match=rf"would replace files that none made \({path}\): ada/other: push to a"):
        push(Options("ada/other"))
    assert hub.tree("ada/other")[path] == b"mine"
    hub.overwrite("ada/other", path, None)
    assert "7 files to upload" in push(Options("ada/other"))


def test_the_licence_stays_as_published(hub: Hub, project: Path) -> None:
    push(replace(ALL, licence="cc0-1.0"))
    assert "nothing to do" in push(ALL)
    assert "nothing to do" in push(replace(ALL, clients=(1,)))
    assert b"license: cc0-1.0" in hub.tree(REPO)["README.md"]
    push(replace(ALL, licence="mit"))
    assert b"license: mit" in hub.tree(REPO)["README.md"]
    hub.overwrite(REPO, "README.md", b"---\nlicense: [\n---\n")
    push(ALL)
    assert b"license: unknown" in hub.tree(REPO)["README.md"]


def test_a_dry_run_changes_nothing(hub: Hub, project: Path) -> None:
    told = push(replace(ALL, dry_run=True))
    assert REPO not in hub.repos
    assert told.startswith(f"{REPO} (a new private repository): 7 files to upload")
    assert f"  upload data/000/client-00000.parquet ({paths.shard(0).stat().st_size:,} bytes)" in told.splitlines()
    push(ALL)
    hub.overwrite(REPO, "data/000/client-00009.parquet", b"stale")
    head = hub.repos[REPO].head.id
    hub.requests.clear()
    told = push(replace(ALL, dry_run=True, tag="v1"))
    assert told.splitlines()[1:] == ["  delete data/000/client-00009.parquet"]
    assert hub.repos[REPO].head.id == head
    assert [seen.route for seen in hub.requests if seen.route in SENDING] == []


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


def test_a_repository_that_becomes_public_between_look_and_creation(hub: Hub, project: Path) -> None:
    def stranger() -> None:
        import huggingface_hub

        huggingface_hub.HfApi(token=TOKEN).create_repo(REPO, repo_type="dataset", private=False)

    hub.fail("create", stranger)
    with pytest.raises(HubError, match="this repository is public"):
        push(ALL)
    assert hub.count("lfs-put") == 0


def test_a_repository_that_somebody_fills_between_look_and_creation(hub: Hub, project: Path) -> None:
    hub.fail("create", lambda: push(ALL))
    with pytest.raises(HubError, match="its history keeps client-wise files"):
        push(replace(ALL, anonymous=True))


def test_a_repository_that_nobody_sees_once_it_is_made(
    hub: Hub, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.HfApi.create_repo", lambda *_, **__: None)
    with pytest.raises(HubError, match="the new repository cannot be seen: ada/fill: run again"):
        push(ALL)


def test_a_repository_that_somebody_is_creating_right_now(hub: Hub, project: Path, waits: list[float]) -> None:
    """The Hub answers 409 without an address then, which the client does not expect."""
    hub.fail("create", 409)
    assert "7 files to upload" in push(ALL)
    assert waits == [1.0]
    del hub.repos[REPO]
    hub.fail("create", 409, 409, 409, 409)
    with pytest.raises(HubError, match=f"somebody is creating this repository now: {REPO}: try again later"):
        push(ALL)


def test_a_name_without_an_owner_is_mine(hub: Hub, project: Path) -> None:
    assert push(replace(ALL, repo_id="fill")).startswith(f"{REPO} (private): 7 files")


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


def test_what_is_not_as_the_manifest_says_is_not_published(hub: Hub, project: Path) -> None:
    paths.shard(2).write_bytes(paths.shard(1).read_bytes())
    with pytest.raises(ArtifactError, match=f"shard differs from the manifest: {paths.shard(2)}"):
        push(ALL)
    assert hub.requests == []
    with pytest.raises(ParameterError, match="--client and --anonymous exclude each other"):
        push(replace(ALL, clients=(1,), anonymous=True))
    for client in range(4):
        paths.shard(client).write_bytes(paths.shard(client).read_bytes())
        rewrite(client, slice(0, 0))
    with pytest.raises(ArtifactError, match="no synthetic image to publish"):
        push(ALL)


@pytest.mark.parametrize(
    "route",
    ["whoami", "info", "tree", "refs", "create", "preupload", "lfs-batch", "lfs-put", "lfs-verify", "tag"],
)
@pytest.mark.parametrize("fault", [503, 429, "drop-after"])
def test_a_bad_moment_in_any_call_is_waited_out(
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
    assert "7 files to upload" in push(ALL)
    assert hub.count("commit") == 2
    assert hub.count("lfs-put") == len({seen.path for seen in hub.requests if seen.route == "lfs-put"})
    assert set(hub.tree(REPO)) - {".gitattributes"} == FILES | BESIDE


def test_a_commit_that_happened_though_the_line_failed_is_found(hub: Hub, project: Path) -> None:
    hub.fail("commit", "drop-after")
    assert push(replace(ALL, tag="v1")) == f"{REPO} (private): nothing to do, all 7 files are there, tagged v1"
    assert hub.count("commit") == 1


def test_a_commit_that_the_hub_never_answers_is_given_up_and_found(
    hub: Hub, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = threading.Event()
    away_for_one(hub)  # after which the client connects anew
    monkeypatch.setattr(api, "TIMEOUT", 0.5)
    monkeypatch.setattr(api, "time", SimpleNamespace(sleep=lambda _: None))
    monkeypatch.setattr(push_module, "time", SimpleNamespace(sleep=lambda _: gate.set()))
    hub.fail("commit", gate.wait)
    push(ALL)
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
        HubError, match=f"the commit may not have happened: the line to the Hub failed .*: {REPO}: run again"
    ):
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


@pytest.mark.parametrize("status", [412, 409, None])
def test_a_race_is_planned_again_once(hub: Hub, project: Path, status: int | None) -> None:
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
        "hf_reads", r"this token may not do that \(403\); the Hub says: .*: ada/fill: use one with the right to write"
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


def test_a_shard_that_changes_during_the_push_is_not_published(hub: Hub, project: Path) -> None:
    hub.fail("create", lambda: paths.shard(2).write_bytes(paths.shard(1).read_bytes()))
    with pytest.raises(ArtifactError, match=f"the file changed during the push: {paths.shard(2)}: run again"):
        push(ALL)
    assert hub.count("lfs-put") == hub.count("commit") == 0


def test_answers_that_are_none(hub: Hub, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
        with pytest.raises(HubError, match="the token holds a character that no token has: ada/fill: log in"):
            push(ALL)
    (project / "file").touch()
    with monkeypatch.context() as patch:
        patch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(project / "file/cache"))
        with pytest.raises(HubError, match=r"Not a directory: .*file.*: check the file or folder"):
            push(ALL)


def test_names_that_are_none(hub: Hub, project: Path) -> None:
    with pytest.raises(HubError, match="no name of a repository: a/b/c: give --repo-id OWNER/NAME"):
        push(Options("a/b/c"))


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
    """Nor the token if somebody makes the client tell everything."""
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


def test_anonymous_files_tell_of_no_client(hub: Hub, project: Path) -> None:
    known = manifest.load()
    told = push(replace(ALL, anonymous=True))
    tree = hub.tree(REPO)
    files = {f"data/class-{label:05}.parquet" for label in range(3)}
    assert set(tree) - {".gitattributes"} == files | BESIDE
    assert "6 files to upload" in told
    rows = [row for path in sorted(files) for row in _rows(tree[path])]
    assert set(rows[0]) == {"image", "label", "class_name", "prompt", "negative_prompt", "guidance", "flags"}
    mine = {
        row["image"]["bytes"]: row for shard in known.shards for path in shard.paths for row in _rows(path.read_bytes())
    }
    assert len(rows) == len(mine) == known.rows
    for row in rows:
        assert {name: mine[row["image"]["bytes"]][name] for name in row} == row
    for path in files:
        digests = [sha256(row["image"]["bytes"]).digest() for row in _rows(tree[path])]
        assert digests == sorted(digests)
    beside = tree["README.md"].decode() + tree["manifest.json"].decode()
    assert "client-" not in beside.replace("federated-learning", "")
    for secret in (
        known.recipe,
        *(shard.plan for shard in known.shards),
        *(f.sha256 for s in known.shards for f in s.files),
    ):
        assert secret not in beside
        assert all(secret.encode() not in tree[path] for path in files)
    described = json.loads(tree["manifest.json"])
    assert "seed" not in described["recipe_text"]
    assert sum(file["rows"] for file in described["files"]) == known.rows
    hub.requests.clear()
    assert "nothing to do, all 6 files are there" in push(replace(ALL, anonymous=True))


def _rows(content: bytes) -> list[dict[str, Any]]:
    import io

    rows: list[dict[str, Any]] = pq.read_table(io.BytesIO(content)).to_pylist()
    return rows


def test_a_small_seed_is_warned_of(hub: Hub, project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    push(replace(ALL, anonymous=True))
    assert "warning: whoever guesses params.yaml's seed, which is small" in capsys.readouterr().err
    known = manifest.load()
    replace(known, recipe_text={**known.recipe_text, "seed": 10**31}).save()
    push(replace(ALL, anonymous=True))
    assert "warning" not in capsys.readouterr().err


def test_equal_images_of_several_clients_are_published_once(hub: Hub, project: Path) -> None:
    known = manifest.load()
    paths.shard(1).write_bytes(paths.shard(0).read_bytes())
    shard = replace(known.shard(1), counts=known.shard(0).counts, plan=known.shard(0).plan)
    known.with_shard(replace(shard, files=(manifest.File.of(paths.shard(1), known.shard(0).rows),))).save()
    push(replace(ALL, anonymous=True))
    described = json.loads(hub.tree(REPO)["manifest.json"])
    expected = sum(known.shard(client).rows for client in (0, 2, 3))
    assert sum(file["rows"] for file in described["files"]) == expected


@pytest.mark.parametrize("gone", [(), FILES, FILES | BESIDE])
def test_what_was_client_wise_does_not_become_anonymous(hub: Hub, project: Path, gone: set[str]) -> None:
    """Whatever is left of it at the head: the history keeps it all."""
    push(replace(ALL, tag="v1"))
    for path in gone:
        hub.overwrite(REPO, path, None)
    with pytest.raises(HubError, match=r"its history keeps client-wise files: ada/fill: push --anonymous to a new"):
        push(replace(ALL, anonymous=True))


def test_a_squashed_history_hides_no_client_wise_files(hub: Hub, project: Path) -> None:
    push(ALL)
    hub.repos[REPO].commits[-1] = replace(hub.repos[REPO].head, summary="Super-squash branch 'main'")
    with pytest.raises(HubError, match="it was published client by client: ada/fill: push to a new repository"):
        push(replace(ALL, anonymous=True))


def test_forgetting_that_it_is_anonymous_tells_of_no_client(hub: Hub, project: Path) -> None:
    push(replace(ALL, anonymous=True))
    before = hub.tree(REPO)
    for clients in ((), (1,)):
        with pytest.raises(HubError, match="it was published with --anonymous: ada/fill: push to a new repository"):
            push(replace(ALL, clients=clients))
    assert hub.tree(REPO) == before


def test_regenerating_and_pushing_one_client_changes_nothing(hub: Hub, project: Path) -> None:
    push(ALL)
    inspect.regenerate(params.load(), ["cpu"], 2, fresh=True)
    hub.requests.clear()
    assert "nothing to do" in push(replace(ALL, clients=(2,)))
    assert sent(hub) == 0


def test_the_card_tells_how_to_draw_an_image_again(
    document: dict[str, Any], tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its lines, carried out as they stand; the model of this test is a folder, which the card would not load."""
    document["generate"]["image_size"] = 12
    monkeypatch.chdir(generate_project(tmp_path, document) / "project")
    known = manifest.load()
    text = card.of_clients(
        REPO, replace(known, recipe_text={**known.recipe_text, "model": f"{tiny_model}@main"}), "mit", None
    )
    code = re.findall(r"```python\n(.*?)```", text, re.DOTALL)[-1]
    rows = load_dataset("parquet", data_files=[str(path) for path in known.shard(1).paths], split="train")
    for number in (0, len(rows) - 1):
        row = rows[number]
        told: dict[str, Any] = {"images": {0: row}}
        exec(code, told)
        apart = np.abs(np.asarray(told["picture"], np.int16) - np.asarray(row["image"], np.int16))
        assert apart.max() <= 1


def test_a_card_shows_class_names_as_they_are(project: Path) -> None:
    """Those of a table's borders, of YAML and of templates do not break it."""
    names = ("a | b", "no: {{ 7 }}", "'\"#")
    known = replace(manifest.load(), class_names=names)
    text = card.of_clients(REPO, known, "mit", None)
    assert "\n| client | a \\| b | no: {{ 7 }} | '\"# | all |\n" in text
    assert findings(text) == ([], [])


@pytest.mark.parametrize(
    ("sharing", "said"), [("own", "those of all\nclients together"), ("common", "lacks most of it")]
)
def test_an_anonymous_card_tells_what_its_counts_are(hub: Hub, project: Path, sharing: str, said: str) -> None:
    replace(manifest.load(), sharing=sharing).save()
    push(replace(ALL, anonymous=True))
    assert said in hub.tree(REPO)["README.md"].decode()


def test_a_seed_of_128_bits_goes_through_everything(
    hub: Hub,
    document: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It is the one that an anonymous publication asks for; partition, images, training and push take it."""
    document["seed"] = 2**127 + 3
    document["train"] |= {"rounds": 1}
    monkeypatch.chdir(generate_project(tmp_path, document) / "project")
    train.run(params.load(), "synthetic", "fedavg", Crew(1))
    capsys.readouterr()
    assert "6 files to upload" in push(replace(ALL, anonymous=True))
    assert "warning" not in capsys.readouterr().err
