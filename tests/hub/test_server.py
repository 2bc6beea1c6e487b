"""The Hub of the tests, proved with the clients themselves."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace

import httpx2
import huggingface_hub
import pyarrow
import pytest
from huggingface_hub import CommitInfo, CommitOperationAdd, CommitOperationDelete, HfApi, HfFileSystem, get_session
from huggingface_hub.errors import (
    HfHubHTTPError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from pyarrow import parquet

from tests.hub.server import Hub, Request

pytestmark = pytest.mark.filterwarnings(
    "ignore:Use 'content=<...>' to upload raw bytes/text content:DeprecationWarning:httpx2._models"
)

REPO = "ada/pictures"
README = """---
license: cc0-1.0
configs:
- config_name: default
  default: true
  data_files: [{split: train, path: data/*/train.parquet}]
- config_name: client-1
  data_files: [{split: train, path: data/client-1/train.parquet}]
---
# Pictures
"""
LOAD = """
import sys
from datasets import load_dataset
repo, first = sys.argv[1:]
print(load_dataset(repo, split="train")["label"][:])
print(load_dataset(repo, "client-1", split="train")["label"][:])
print([row["label"] for row in load_dataset(repo, split="train", streaming=True)])
print(load_dataset(repo, split="train", revision=first)["label"][:])
"""


def shard(labels: list[int]) -> bytes:
    """A Parquet file."""
    place = io.BytesIO()
    parquet.write_table(pyarrow.table({"label": labels}), place)
    return place.getvalue()


FILES = {
    "README.md": README.encode(),
    "data/client-0/train.parquet": shard([1, 2]),
    "data/client-1/train.parquet": shard([3]),
    "data/empty.txt": b"",
    "notes/readme.txt": b"some notes\n",
}


@pytest.fixture(autouse=True)
def online(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the clients reach the loopback interface, without Xet, with a cache of their own."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    # Else the first request of a process goes to huggingface.co, for a list of agents.
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_TELEMETRY", True)


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that the clients would have waited before they tried again."""
    seconds: list[float] = []
    monkeypatch.setattr("huggingface_hub.utils._http.time", SimpleNamespace(sleep=seconds.append))
    return seconds


@pytest.fixture
def hub() -> Iterator[Hub]:
    """A Hub with a writer, her read-only token, and a stranger."""
    with Hub() as made:
        made.add_user("ada", "hf_ada")
        made.add_user("ada", "hf_reads", write=False)
        made.add_user("bob", "hf_bob")
        yield made


@pytest.fixture
def api(hub: Hub) -> HfApi:
    return HfApi(endpoint=hub.endpoint, token="hf_ada")


def adds(files: dict[str, bytes]) -> list[CommitOperationAdd]:
    return [CommitOperationAdd(path, content) for path, content in files.items()]


def commit(api: HfApi, files: dict[str, bytes], deleted: tuple[str, ...] = (), parent: str | None = None) -> CommitInfo:
    return api.create_commit(
        REPO,
        [*adds(files), *map(CommitOperationDelete, deleted)],
        commit_message="Change",
        repo_type="dataset",
        parent_commit=parent,
    )


@pytest.fixture
def published(hub: Hub, api: HfApi) -> CommitInfo:
    """The first commit of all files; what it sent is forgotten."""
    api.create_repo(REPO, repo_type="dataset")
    info = commit(api, FILES)
    hub.requests.clear()
    return info


def status(error: pytest.ExceptionInfo[HfHubHTTPError]) -> int:
    return error.value.response.status_code


def test_whoami(hub: Hub, api: HfApi) -> None:
    me = api.whoami()
    assert (me["name"], me["auth"]["accessToken"]["role"]) == ("ada", "write")
    assert hub.requests == [Request("GET", "whoami", "/api/whoami-v2", 0, True, 200)]
    with pytest.raises(HfHubHTTPError, match="Invalid user token") as error:
        api.whoami(token="hf_unknown")
    assert status(error) == 401


def test_an_unknown_token_is_refused_even_where_none_is_needed(api: HfApi, published: CommitInfo) -> None:
    assert api.repo_exists(REPO, repo_type="dataset", token=False)
    with pytest.raises(HfHubHTTPError, match="Invalid credentials") as error:
        api.dataset_info(REPO, token="hf_unknown")
    assert (status(error), type(error.value)) == (401, HfHubHTTPError)


def test_a_private_repository_does_not_exist_for_others(hub: Hub, api: HfApi) -> None:
    api.create_repo(REPO, repo_type="dataset", private=True)
    assert hub.repos[REPO].private
    assert api.dataset_info(REPO).private
    assert not api.repo_exists(REPO, repo_type="dataset", token=False)
    assert not api.repo_exists(REPO, repo_type="dataset", token="hf_bob")
    assert api.repo_exists(REPO, repo_type="dataset", token="hf_reads")
    assert [seen.status for seen in hub.requests] == [200, 200, 401, 404, 200]
    api.update_repo_settings(REPO, private=False, repo_type="dataset")
    assert api.repo_exists(REPO, repo_type="dataset", token=False)


def test_a_repository_is_created_once(hub: Hub, api: HfApi) -> None:
    url = api.create_repo(REPO, repo_type="dataset")
    assert (url.repo_id, url.repo_type) == (REPO, "dataset")
    assert api.create_repo(REPO, repo_type="dataset", private=True, exist_ok=True) == url
    assert not hub.repos[REPO].private  # as on the real Hub, the wish is ignored
    with pytest.raises(HfHubHTTPError) as error:
        api.create_repo(REPO, repo_type="dataset")
    assert status(error) == 409


def test_who_may_not_write(hub: Hub, published: CommitInfo) -> None:
    for token in "hf_reads", "hf_bob":
        other = HfApi(endpoint=hub.endpoint, token=token)
        with pytest.raises(HfHubHTTPError) as error:
            other.create_repo("ada/more", repo_type="dataset")
        assert status(error) == 403
        with pytest.raises(HfHubHTTPError) as error:
            commit(other, {"more.txt": b"more"})
        assert status(error) == 403
        for path in f"/api/datasets/{REPO}/commit/main", f"/datasets/{REPO}.git/info/lfs/objects/batch":
            headers = {"Authorization": f"Bearer {token}"}
            assert get_session().post(hub.endpoint + path, headers=headers).status_code == 403
    assert len(hub.repos[REPO].commits) == 2


def test_publishing_sends_large_files_first_and_only_once(hub: Hub, api: HfApi) -> None:
    api.create_repo(REPO, repo_type="dataset")
    api.preupload_lfs_files(REPO, adds(FILES), repo_type="dataset")
    assert hub.counts() == {"create": 1, "preupload": 1, "lfs-batch": 1, "lfs-put": 2, "lfs-verify": 2}
    assert list(hub.tree(REPO)) == [".gitattributes"]
    puts = [seen for seen in hub.requests if seen.route == "lfs-put"]
    assert sorted(seen.size for seen in puts) == sorted(len(FILES[path]) for path in FILES if "parquet" in path)
    assert not any(seen.had_token for seen in puts)

    hub.requests.clear()
    first = hub.repos[REPO].head.id
    info = commit(api, FILES, parent=first)
    assert hub.counts() == {"validate-yaml": 1, "preupload": 1, "lfs-batch": 1, "commit": 1}
    head = hub.repos[REPO].head
    assert (head.id, head.parent, head.summary, head.author) == (info.oid, first, "Change", "ada")
    assert {path: content for path, content in hub.tree(REPO).items() if path in FILES} == FILES
    assert {path for path, file in head.files.items() if file.large} == {p for p in FILES if "parquet" in p}

    hub.requests.clear()
    assert commit(api, FILES).oid == info.oid
    assert hub.count("commit") == hub.count("lfs-put") == 0


def test_files_on_disk_are_uploaded_too(hub: Hub, api: HfApi, tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(FILES["data/client-0/train.parquet"])
    api.create_repo(REPO, repo_type="dataset")
    api.upload_file(path_or_fileobj=tmp_path / "a.parquet", path_in_repo="a.parquet", repo_id=REPO, repo_type="dataset")
    assert hub.tree(REPO)["a.parquet"] == FILES["data/client-0/train.parquet"]


def test_a_stale_parent_is_refused(hub: Hub, api: HfApi, published: CommitInfo) -> None:
    hub.overwrite(REPO, "notes/readme.txt", b"a stranger's")
    with pytest.raises(HfHubHTTPError, match="A commit has happened since") as error:
        commit(api, {"notes/more.txt": b"more"}, parent=published.oid)
    assert status(error) == 412
    assert [made.author for made in hub.repos[REPO].commits] == ["ada", "ada", "stranger"]


def test_deleting(hub: Hub, api: HfApi, published: CommitInfo) -> None:
    commit(api, {}, deleted=("data/client-0/", "notes/readme.txt"))
    assert set(hub.tree(REPO)) == {".gitattributes", "README.md", "data/client-1/train.parquet", "data/empty.txt"}
    with pytest.raises(RemoteEntryNotFoundError, match="A file with this name doesn't exist"):
        commit(api, {}, deleted=("notes/readme.txt",))


def test_large_files_are_what_they_claim(hub: Hub, api: HfApi, published: CommitInfo) -> None:
    oid = sha256(b"never uploaded").hexdigest()
    lines = [
        {"key": "header", "value": {"summary": "Cheat", "description": ""}},
        {"key": "lfsFile", "value": {"path": "a.parquet", "algo": "sha256", "oid": oid, "size": 14}},
    ]
    url = f"{hub.endpoint}/api/datasets/{REPO}/commit/main"
    body = "\n".join(json.dumps(line) for line in lines)
    answer = get_session().post(url, content=body, headers={"Authorization": "Bearer hf_ada"})
    assert answer.status_code == 400
    assert "a.parquet" not in hub.tree(REPO)
    assert get_session().put(f"{hub.store}/{oid}", content=b"other bytes").status_code == 400
    leak = get_session().put(
        f"{hub.store}/{oid}", content=b"never uploaded", headers={"Authorization": "Bearer hf_ada"}
    )
    assert leak.status_code == 400
    assert oid not in hub.objects
    assert hub.count("lfs-put", "PUT") == 2


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ("license: [", "bad YAML"),
        ("- a", "mapping"),
        ("license: 7", '"license" must be a string'),
        ("language: no", '"language" must be a string or strings'),
        ("configs: {a: b}", '"configs" must be a list'),
        ("configs: [a]", "must be a mapping"),
        ("configs: [{config_name: 1, data_files: a}]", r"configs\[0\].config_name"),
        ("configs: [{config_name: a, data_files: a}, {config_name: a, data_files: a}]", "repeats a"),
        ("configs: [{config_name: a}]", "data_files"),
        ("configs: [{config_name: a, data_files: [{split: train}]}]", "data_files"),
    ],
)
def test_a_bad_card_is_refused(hub: Hub, api: HfApi, published: CommitInfo, metadata: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        commit(api, {"README.md": f"---\n{metadata}\n---\n# Pictures".encode()})
    assert hub.counts() == {"validate-yaml": 1}


def test_a_card_without_metadata_makes_the_client_warn(api: HfApi, published: CommitInfo) -> None:
    with pytest.warns(UserWarning, match="empty or missing yaml metadata"):
        commit(api, {"README.md": b"# Pictures"})


def test_info(api: HfApi, published: CommitInfo) -> None:
    commit(api, {"README.md": README.replace("cc0-1.0", "mit").encode()})
    info = api.dataset_info(REPO, revision=published.oid, files_metadata=True)
    assert (info.id, info.sha, info.private) == (REPO, published.oid, False)
    assert info.card_data is not None
    assert info.card_data.license == "cc0-1.0"
    sizes = {sibling.rfilename: sibling.size for sibling in info.siblings or []}
    assert {path: size for path, size in sizes.items() if path in FILES} == {p: len(FILES[p]) for p in FILES}
    with pytest.raises(RevisionNotFoundError):
        api.dataset_info(REPO, revision="0" * 40)
    with pytest.raises(RepositoryNotFoundError):
        api.dataset_info("ada/other")


def test_listing_comes_in_pages(hub: Hub, api: HfApi, published: CommitInfo) -> None:
    hub.page_size = 3
    found = {entry.path: entry for entry in api.list_repo_tree(REPO, recursive=True, repo_type="dataset")}
    folders = {"data", "data/client-0", "data/client-1", "notes"}
    assert set(found) == {*FILES, ".gitattributes", *folders}
    assert hub.count("tree") == 4
    large = found["data/client-0/train.parquet"]
    assert isinstance(large, huggingface_hub.hf_api.RepoFile)
    assert large.lfs is not None
    assert large.lfs.sha256 == sha256(FILES[large.path]).hexdigest()
    assert large.blob_id == published_blob(large.lfs.sha256, large.size)
    below = api.list_repo_tree(REPO, "data/client-0", repo_type="dataset", expand=True)
    assert [(entry.path, entry.last_commit and entry.last_commit.oid) for entry in below] == [
        ("data/client-0/train.parquet", published.oid)
    ]
    with pytest.raises(RemoteEntryNotFoundError):
        list(api.list_repo_tree(REPO, "nowhere", repo_type="dataset"))
    some = api.get_paths_info(REPO, ["notes/readme.txt", "data", "nowhere"], repo_type="dataset")
    assert [(entry.path, type(entry).__name__) for entry in some] == [
        ("notes/readme.txt", "RepoFile"),
        ("data", "RepoFolder"),
    ]


def published_blob(oid: str, size: int) -> str:
    """What git calls the pointer to a large file."""
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {size}\n".encode()
    return huggingface_hub.utils.sha.git_hash(pointer)


def test_tags_pin_a_state(hub: Hub, api: HfApi, published: CommitInfo) -> None:
    api.create_tag(REPO, tag="v1", tag_message="First", repo_type="dataset")
    with pytest.raises(HfHubHTTPError) as error:
        api.create_tag(REPO, tag="v1", repo_type="dataset")
    assert status(error) == 409
    api.create_tag(REPO, tag="v1", repo_type="dataset", exist_ok=True)
    commit(api, {"notes/readme.txt": b"changed\n"})
    assert hub.tree(REPO, "v1")["notes/readme.txt"] == b"some notes\n"
    refs = api.list_repo_refs(REPO, repo_type="dataset")
    assert (
        [(tag.name, tag.target_commit) for tag in refs.tags]
        == [("v1", published.oid)]
        == [*hub.repos[REPO].tags.items()]
    )
    assert [branch.target_commit for branch in refs.branches] == [hub.repos[REPO].head.id]
    titles = [made.title for made in api.list_repo_commits(REPO, repo_type="dataset")]
    assert titles == ["Change", "Change", "initial commit"]
    assert len(api.list_repo_commits(REPO, repo_type="dataset", revision="v1")) == 2
    pinned = api.hf_hub_download(REPO, "notes/readme.txt", repo_type="dataset", revision="v1")
    assert Path(pinned).read_bytes() == b"some notes\n"
    api.delete_tag(REPO, tag="v1", repo_type="dataset")
    assert not hub.repos[REPO].tags
    with pytest.raises(RevisionNotFoundError):
        api.hf_hub_download(REPO, "notes/readme.txt", repo_type="dataset", revision="v1")


def test_downloads(hub: Hub, api: HfApi, published: CommitInfo, tmp_path: Path) -> None:
    hub.repos[REPO].private = True
    folder = Path(api.snapshot_download(REPO, repo_type="dataset"))
    assert {path: (folder / path).read_bytes() for path in hub.tree(REPO)} == hub.tree(REPO)
    assert hub.count("lfs-get") == 2
    assert not any(seen.had_token for seen in hub.requests if seen.route == "lfs-get")
    assert all(seen.had_token for seen in hub.requests if seen.route != "lfs-get")
    with pytest.raises(RemoteEntryNotFoundError):
        api.hf_hub_download(REPO, "nowhere", repo_type="dataset")
    assert api.file_exists(REPO, "README.md", repo_type="dataset")
    assert not api.file_exists(REPO, "nowhere", repo_type="dataset")
    with pytest.raises(RepositoryNotFoundError):
        api.hf_hub_download(REPO, "README.md", repo_type="dataset", token="hf_bob", cache_dir=tmp_path / "bob")


def test_the_file_system_reads_parts(hub: Hub, published: CommitInfo) -> None:
    files = HfFileSystem(endpoint=hub.endpoint, token="hf_ada", skip_instance_cache=True)
    root = f"datasets/{REPO}"
    assert files.glob(f"{root}/data/*/*.parquet") == [f"{root}/{path}" for path in FILES if "parquet" in path]
    for path in "data/client-1/train.parquet", "notes/readme.txt":
        with files.open(f"{root}/{path}", block_size=4) as file:
            file.seek(2)
            assert file.read(4) == FILES[path][2:6]
    assert {seen.status for seen in hub.requests if seen.method == "GET" and seen.route == "lfs-get"} == {206}
    assert files.glob(f"{root}/nowhere/*") == []


@pytest.mark.parametrize(
    ("part", "status", "content"),
    [("2-4", 206, b"cde"), ("7-", 206, b"hij"), ("-2", 206, b"ij"), ("8-99", 206, b"ij"), ("10-", 416, b"")],
)
def test_ranges(hub: Hub, api: HfApi, part: str, status: int, content: bytes) -> None:
    api.create_repo(REPO, repo_type="dataset")
    hub.overwrite(REPO, "letters.txt", b"abcdefghij")
    url = f"{hub.endpoint}/datasets/{REPO}/resolve/main/letters.txt"
    answer = get_session().get(url, headers={"Range": f"bytes={part}"})
    assert (answer.status_code, answer.content) == (status, content)


def test_damage_in_the_store_shows_in_downloads(hub: Hub, api: HfApi, published: CommitInfo) -> None:
    path = "data/client-1/train.parquet"
    hub.objects[sha256(FILES[path]).hexdigest()] = b"x" * len(FILES[path])
    assert Path(api.hf_hub_download(REPO, path, repo_type="dataset")).read_bytes() == b"x" * len(FILES[path])


def test_faults_come_in_order_and_pass(hub: Hub, api: HfApi, published: CommitInfo, waits: list[float]) -> None:
    hub.fail("tree", 500, 503, 429, "drop")
    assert len(list(api.list_repo_tree(REPO, repo_type="dataset"))) == 4
    assert [seen.status for seen in hub.requests] == [500, 503, 429, 0, 200]
    assert waits == [1, 2, 1, 8]
    with pytest.raises(ValueError, match="No route is named tre"):
        hub.fail("tre", 500)


def test_uploads_survive_faults(hub: Hub, api: HfApi, waits: list[float]) -> None:
    api.create_repo(REPO, repo_type="dataset")
    for name in "preupload", "lfs-batch", "lfs-put", "lfs-verify":
        hub.fail(name, 503, "drop-after")
    commit(api, FILES)
    assert {path: content for path, content in hub.tree(REPO).items() if path in FILES} == FILES
    assert hub.count("lfs-put") == 4


@pytest.mark.parametrize("fault", [401, 403, 409, 412, 429, 500, 503])
def test_a_commit_is_not_repeated_by_the_client(hub: Hub, api: HfApi, published: CommitInfo, fault: int) -> None:
    hub.fail("commit", fault)
    with pytest.raises(HfHubHTTPError) as error:
        commit(api, {"notes/readme.txt": b"changed\n"})
    assert (status(error), type(error.value)) == (fault, HfHubHTTPError)
    assert hub.count("commit") == 1
    assert hub.repos[REPO].head.id == published.oid


@pytest.mark.parametrize("fault", ["drop", "drop-after"])
def test_a_lost_answer_leaves_it_open_whether_the_commit_happened(
    hub: Hub, api: HfApi, published: CommitInfo, fault: str
) -> None:
    hub.fail("commit", "drop" if fault == "drop" else "drop-after")
    with pytest.raises(httpx2.RemoteProtocolError):
        commit(api, {"notes/readme.txt": b"changed\n"})
    assert (hub.repos[REPO].head.parent == published.oid) == (fault == "drop-after")
    assert hub.count("commit") == 1


def test_a_fault_can_be_a_race(hub: Hub, api: HfApi, published: CommitInfo) -> None:
    hub.fail("commit", lambda: hub.overwrite(REPO, "README.md", b"# Mine"), lambda: api.dataset_info(REPO))
    with pytest.raises(HfHubHTTPError) as error:
        commit(api, {"notes/readme.txt": b"changed\n"}, parent=published.oid)
    assert status(error) == 412
    commit(api, {"notes/readme.txt": b"changed\n"}, parent=hub.repos[REPO].head.id)
    assert hub.count("info") == 1


def test_what_the_double_does_not_know_is_said(hub: Hub) -> None:
    answer = get_session().get(f"{hub.endpoint}/api/models/ada/model")
    assert (answer.status_code, hub.count("unknown")) == (404, 1)


def test_load_dataset(hub: Hub, api: HfApi, published: CommitInfo, tmp_path: Path) -> None:
    commit(api, {"data/client-1/train.parquet": shard([4, 5])})
    hub.repos[REPO].private = True
    hub.page_size = 2
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    environment |= {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(tmp_path), "HF_HUB_DISABLE_XET": "1"}
    environment |= {"HF_TOKEN": "hf_ada", "USE_TORCH": "0"}
    command = [sys.executable, "-c", LOAD, REPO, published.oid]
    result = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.stdout.splitlines() == ["[1, 2, 4, 5]", "[4, 5]", "[1, 2, 4, 5]", "[1, 2, 3]"], result.stderr
    assert hub.count("unknown") == 0
